"""Randomizers: which model fields change, and how."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim import (
    ActuatorGainRandomizer,
    ArmatureRandomizer,
    CenterOfMassRandomizer,
    DampingRandomizer,
    FrictionRandomizer,
    MassRandomizer,
    MjxEngine,
    NativeEngine,
    PositionActuators,
    TorqueActuators,
)
from ksim.physics import EpisodeStart, PhysicsModel

ALL = (
    ActuatorGainRandomizer,
    ArmatureRandomizer,
    DampingRandomizer,
    FrictionRandomizer,
    MassRandomizer,
)


def fields_of(randomizer, model):
    return {
        name: jax.numpy.array(getattr(model.mj_model, name), jax.numpy.float32)
        for name in randomizer.fields
    }


def draw(randomizer, fields, seed=0):
    values, carry = randomizer(fields, (), jax.random.key(seed))
    assert carry == ()
    assert tuple(values) == randomizer.fields
    return {name: np.array(value) for name, value in values.items()}


@pytest.mark.parametrize("family", [*ALL, CenterOfMassRandomizer])
def test_fields_are_fields_of_the_engine_and_keep_their_shapes(family, model):
    randomizer = family.create(model)
    fields = MjxEngine(model).model_fields(randomizer.fields)
    drawn = draw(randomizer, {name: jax.numpy.array(value) for name, value in fields.items()})
    assert {name: value.shape for name, value in drawn.items()} == {
        name: value.shape for name, value in fields.items()
    }


@pytest.mark.parametrize("family", ALL)
def test_draws_differ_and_compose(family, model):
    randomizer = family.create(model, scale_range=(0.5, 0.6))
    fields = fields_of(randomizer, model)
    first, other = draw(randomizer, fields, seed=0), draw(randomizer, fields, seed=1)
    name = randomizer.fields[0]
    assert not np.allclose(first[name], other[name])
    # The second application changes what the first one left: between 0.5^2 and 0.6^2.
    twice = draw(
        randomizer, {name: jax.numpy.array(value) for name, value in first.items()}, seed=1
    )
    changed = np.array(fields[name]) != first[name]
    ratio = twice[name][changed] / np.array(fields[name])[changed]
    assert np.all((ratio >= 0.25 - 1e-6) & (ratio <= 0.36 + 1e-6))


def test_friction_has_one_factor_for_geoms_and_their_pairs(model):
    randomizer = FrictionRandomizer.create(model, scale_range=(0.5, 0.9))
    fields = fields_of(randomizer, model)
    drawn = draw(randomizer, fields)
    ratio = drawn["geom_friction"] / np.array(fields["geom_friction"])
    factor = ratio[0, 0]
    assert 0.5 <= factor <= 0.9
    np.testing.assert_allclose(ratio[:, 0], factor, rtol=1e-6)
    np.testing.assert_array_equal(ratio[:, 1:], 1.0)  # torsional and rolling
    pair_ratio = drawn["pair_friction"] / np.array(fields["pair_friction"])
    np.testing.assert_allclose(pair_ratio[:, :2], factor, rtol=1e-6)
    np.testing.assert_array_equal(pair_ratio[:, 2:], 1.0)


def test_friction_of_named_geoms(model):
    randomizer = FrictionRandomizer.create(model, ["left_foot"], scale_range=(2.0, 2.0))
    fields = fields_of(randomizer, model)
    drawn = draw(randomizer, fields)
    left_foot = model.mj_model.geom("left_foot").id
    expected = np.array(fields["geom_friction"])
    expected[left_foot, 0] *= 2.0
    np.testing.assert_allclose(drawn["geom_friction"], expected)
    # The foot takes part in the first pair alone.
    np.testing.assert_allclose(drawn["pair_friction"][:, 0], [2.0, 0.8, 0.4])
    lone = FrictionRandomizer.create(model, ["torso"])
    assert lone.fields == ("geom_friction",)


def test_mass_and_inertia_share_a_factor_of_each_body(model):
    randomizer = MassRandomizer.create(model, scale_range=(0.8, 1.2))
    fields = fields_of(randomizer, model)
    drawn = draw(randomizer, fields)
    ratio = drawn["body_mass"][1:] / np.array(fields["body_mass"])[1:]
    assert np.all((ratio >= 0.8) & (ratio <= 1.2))
    assert len(set(ratio.round(4))) == 6  # six bodies, six draws
    inertia_ratio = drawn["body_inertia"][1:] / np.array(fields["body_inertia"])[1:]
    np.testing.assert_allclose(inertia_ratio, np.repeat(ratio[:, None], 3, axis=1), rtol=1e-5)
    assert drawn["body_mass"][0] == 0.0


def test_subtree_masses_equal_those_of_mujoco(make_model):
    model = make_model()
    randomizer = MassRandomizer.create(model, ["left_shank", "head"], scale_range=(1.5, 2.0))
    drawn = draw(randomizer, fields_of(randomizer, model))
    model.mj_model.body_mass[:] = drawn["body_mass"]
    mujoco.mj_setConst(model.mj_model, mujoco.MjData(model.mj_model))
    np.testing.assert_allclose(
        drawn["body_subtreemass"], model.mj_model.body_subtreemass, rtol=1e-6
    )
    # 20 kg at first; the shank (1 kg) and the head (2 kg) weigh half as much again or more
    assert drawn["body_subtreemass"][0] >= 20.0 + 1.5


def test_joint_properties_leave_other_joints_alone(model):
    damping = DampingRandomizer.create(model, ["left_knee"], scale_range=(3.0, 3.0))
    drawn = draw(damping, fields_of(damping, model))
    # base 0, neck 0.5, hips 1, knees 2
    np.testing.assert_allclose(drawn["dof_damping"], [0] * 6 + [0.5, 1.0, 6.0, 1.0, 2.0])
    armature = ArmatureRandomizer.create(model, scale_range=(0.5, 0.5))
    drawn = draw(armature, fields_of(armature, model))
    np.testing.assert_allclose(drawn["dof_armature"], [0] * 6 + [0.01] + [0.005] * 4)


def test_centres_of_mass_are_shifted_within_bounds(model):
    randomizer = CenterOfMassRandomizer.create(model, ["torso", "left_shank"], max_offset=0.03)
    fields = fields_of(randomizer, model)
    shifted = draw(randomizer, fields)["body_ipos"]
    # The torso's centre was at its origin, the shank's at its foot, 0.35 m below the knee.
    torso, shank = (model.mj_model.body(name).id for name in ("torso", "left_shank"))
    offsets = shifted[[torso, shank]] - np.array([[0.0, 0.0, 0.0], [0.0, 0.0, -0.35]])
    assert np.all(np.abs(offsets) <= 0.03 + 1e-6)
    assert len(set(offsets.ravel().round(5))) == 6  # each axis of each body
    others = np.delete(np.arange(model.mj_model.nbody), [torso, shank])
    np.testing.assert_array_equal(shifted[others], np.array(fields["body_ipos"])[others])
    again = draw(randomizer, {"body_ipos": jnp.array(shifted)})["body_ipos"]
    # The same draw once more, added to what was there.
    np.testing.assert_allclose(again - shifted, shifted - np.array(fields["body_ipos"]), atol=1e-6)


def test_all_centres_of_mass_but_those_that_mujoco_takes_for_granted(model):
    # Neither the world (0) nor, of the second model, the ball, which floats alone.
    assert CenterOfMassRandomizer.create(model).body_ids == (1, 2, 3, 4, 5, 6)
    ball = '<body name="ball"><freejoint/><geom size="0.1"/></body>'
    arm = '<body name="arm"><joint/><geom size="0.1" pos="0 1 0"/></body>'

    def compiled(bodies):
        mj_model = mujoco.MjModel.from_xml_string(
            f"<mujoco><worldbody>{bodies}</worldbody></mujoco>"
        )
        return PhysicsModel.create(mj_model, dt=0.005, ctrl_dt=0.005)

    assert CenterOfMassRandomizer.create(compiled(ball + arm)).body_ids == (2,)
    for bodies in (("ball",), None):
        with pytest.raises(ValueError, match=r'body="ball"\): MuJoCo takes it for granted'):
            CenterOfMassRandomizer.create(compiled(ball), bodies)


# Three hinges: a servo and a torque motor, which ksim writes, and a muscle, which the file has.
THREE_ACTUATORS = """
<mujoco>
  <worldbody>
    <body><joint name="servo" axis="0 1 0"/><geom size="0.1" pos="0 0 -1"/></body>
    <body pos="0 2 0"><joint name="motor" axis="0 1 0"/><geom size="0.1" pos="0 0 -1"/></body>
    <body pos="0 4 0"><joint name="muscle" axis="0 1 0"/><geom size="0.1" pos="0 0 -1"/></body>
  </worldbody>
  <actuator>
    <motor name="servo" joint="servo" forcerange="-21 21"/>
    <motor name="motor" joint="motor" ctrlrange="-20 20"/>
    <general name="muscle" joint="muscle" gaintype="muscle" biastype="muscle" ctrlrange="0 1"
             lengthrange="-1 1" gainprm="0.75 1.05 -1 200 0.5 1.6 1.5 1.3 1.2"
             biasprm="0.75 1.05 -1 200 0.5 1.6 1.5 1.3 1.2"/>
  </actuator>
</mujoco>
"""


def three_actuators():
    mj_model = mujoco.MjModel.from_xml_string(THREE_ACTUATORS)
    model = PhysicsModel.create(mj_model, dt=0.005, ctrl_dt=0.005)
    PositionActuators.create(model, ["servo"], kp=50.0, kd=2.0).configure(mj_model)
    TorqueActuators.create(model, ["motor"]).configure(mj_model)
    return model


@pytest.mark.parametrize("make_engine", [NativeEngine, MjxEngine])
def test_actuator_gains_multiply_forces_on_engines(make_engine):
    model = three_actuators()
    engine = make_engine(model)
    randomizer = ActuatorGainRandomizer.create(model, scale_range=(0.5, 1.0))
    # The servo is 0.4 rad from its target and turns at 0.5 rad/s: 50 * 0.4 - 2 * 0.5 = 19.
    qpos, qvel, ctrl = [0.1, 0.0, 0.3], [0.5, 0.0, 0.2], [0.5, 12.0, 0.7]
    data = mujoco.MjData(model.mj_model)
    data.qpos[:], data.qvel[:], data.ctrl[:] = qpos, qvel, ctrl
    mujoco.mj_forward(model.mj_model, data)
    servo, motor, muscle = data.actuator_force
    assert (servo, motor) == (pytest.approx(19.0), pytest.approx(12.0))
    assert abs(muscle) > 1.0

    def forces(key):
        fields, _ = randomizer(engine.model_fields(randomizer.fields), (), key)
        start = EpisodeStart(qpos=jnp.float32(qpos), qvel=jnp.float32(qvel))
        nothing = jnp.zeros(3)
        data = engine.step(fields, engine.initial_data(), nothing, start, jnp.bool_(True))
        data = engine.step(fields, data, jnp.float32(ctrl), start, jnp.bool_(False))
        return data.actuator_force, fields["actuator_gainprm"]

    with jax.numpy_rank_promotion("allow"):
        found, gains = jax.jit(jax.vmap(forces))(jax.random.split(jax.random.key(0), 3))
    # The gain of the servo is 50, that of the motor 1, the muscle's scale of forces 200.
    factors = np.stack([gains[:, 0, 0] / 50.0, gains[:, 1, 0], gains[:, 2, 3] / 200.0], axis=1)
    assert len(set(factors.ravel().round(4))) == 9  # each actuator of each environment
    assert np.all((factors >= 0.5) & (factors <= 1.0))
    np.testing.assert_allclose(found, factors * data.actuator_force, rtol=1e-4)


def test_actuator_gains_leave_force_limits_and_other_actuators_alone():
    model = three_actuators()
    randomizer = ActuatorGainRandomizer.create(model, ["servo"], scale_range=(2.0, 2.0))
    drawn = draw(randomizer, fields_of(randomizer, model))
    gains, biases = model.mj_model.actuator_gainprm.copy(), model.mj_model.actuator_biasprm.copy()
    gains[0, 0], biases[0, 1:3] = 100.0, (-100.0, -4.0)
    np.testing.assert_array_equal(drawn["actuator_gainprm"], np.float32(gains))
    np.testing.assert_array_equal(drawn["actuator_biasprm"], np.float32(biases))
    model.mj_model.actuator_gainprm[:], model.mj_model.actuator_biasprm[:] = gains, biases
    data = mujoco.MjData(model.mj_model)
    data.qpos[0], data.ctrl[0] = 0.1, 0.5
    mujoco.mj_forward(model.mj_model, data)
    assert data.actuator_force[0] == 21.0  # 100 * 0.4 = 40, limited to 21


def test_actuator_gains_with_one_factor_for_all(model):
    randomizer = ActuatorGainRandomizer.create(model, scale_range=(0.5, 0.9), is_shared=True)
    gains = draw(randomizer, fields_of(randomizer, model))["actuator_gainprm"][:, 0]
    assert 0.5 <= gains[0] <= 0.9
    np.testing.assert_array_equal(gains, gains[0])  # four motors, of gain 1


def test_actuator_gains_of_unknown_laws(make_model):
    motor = '<motor name="left_hip" joint="left_hip" ctrlrange="-80 80"/>'
    user = '<general name="left_hip" joint="left_hip" gaintype="user" ctrlrange="-80 80"/>'
    model = make_model({motor: user})
    with pytest.raises(ValueError, match=r'"left_hip"\).*linear or a muscle.*mjGAIN_USER'):
        ActuatorGainRandomizer.create(model)
    assert ActuatorGainRandomizer.create(model, ["left_knee"]).actuator_ids == (1,)


def test_wrong_names_and_ranges(model):
    with pytest.raises(KeyError, match=r"FrictionRandomizer\(geom=.*flor.*\).*floor"):
        FrictionRandomizer.create(model, ["flor"])
    with pytest.raises(KeyError, match=r"MassRandomizer\(body=.*torsoo.*\).*torso"):
        MassRandomizer.create(model, ["torsoo"])
    with pytest.raises(KeyError, match=r"ActuatorGainRandomizer\(actuator=.*knee.*\).*left_knee"):
        ActuatorGainRandomizer.create(model, ["knee"])
    with pytest.raises(KeyError, match=r"CenterOfMassRandomizer\(body=.*torsoo.*\).*torso"):
        CenterOfMassRandomizer.create(model, ["torsoo"])
    with pytest.raises(ValueError, match="max_offset must not be negative"):
        CenterOfMassRandomizer.create(model, max_offset=-0.1)
    with pytest.raises(KeyError, match=r"DampingRandomizer\(joint=.*knee.*\).*left_knee"):
        DampingRandomizer.create(model, ["knee"])
    with pytest.raises(ValueError, match=r"scale_range must be .lower, upper."):
        FrictionRandomizer.create(model, scale_range=(-0.5, 1.0))
    with pytest.raises(ValueError, match=r"lower >= 0.001"):
        MassRandomizer.create(model, scale_range=(0.0, 1.0))
