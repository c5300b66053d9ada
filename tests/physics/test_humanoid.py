"""The bundled humanoid: a person's body, mirrored sides, few contacts, and it stands."""

from pathlib import Path

import mujoco
import numpy as np
import pytest

MODEL = Path(__file__).parents[2] / "ksim" / "assets" / "humanoid.xml"
GRAVITY = 9.81


@pytest.fixture
def model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_path(str(MODEL))


def names(model: mujoco.MjModel, kind: str) -> list[str]:
    """Names of all elements of one kind (`body`, `joint`, `sensor`, ...), by id."""
    number = {"joint": "njnt", "actuator": "nu"}.get(kind, f"n{kind}")
    return [getattr(model, kind)(index).name for index in range(getattr(model, number))]


def with_position_servos(model: mujoco.MjModel, strength: float = 1.0) -> mujoco.MjModel:
    """force = kp (ctrl - q) - kd qvel, clipped to forcerange, with the model's own gains."""
    kp, kd = strength * model.actuator_user.T
    model.actuator_biastype[:] = mujoco.mjtBias.mjBIAS_AFFINE
    model.actuator_gainprm[:, 0] = kp
    model.actuator_biasprm[:, 1] = -kp
    model.actuator_biasprm[:, 2] = -kd
    return model


def standing(model: mujoco.MjModel) -> mujoco.MjData:
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("stand").id)
    mujoco.mj_forward(model, data)
    return data


def hold(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    seconds: float = 10.0,
    push: tuple[float, float] = (0.0, 0.0),
) -> tuple[float, float]:
    """Simulates, pushing the torso (N, horizontal) for 0.1 s after 2 s.

    Returns:
      The least torso height over that of the first moment, and the least upright cosine.
    """
    torso = model.body("torso").id
    first_height = data.xpos[torso, 2]
    height, upright = [], []
    for step in range(round(seconds / model.opt.timestep)):
        is_pushing = 2.0 <= step * model.opt.timestep < 2.1
        data.xfrc_applied[torso, :2] = push if is_pushing else 0.0
        mujoco.mj_step(model, data)
        height.append(data.xpos[torso, 2] / first_height)
        upright.append(data.xmat[torso, 8])
    return min(height), min(upright)


def mirrored_joint(name: str) -> tuple[str, float]:
    """The joint that takes this one's value in the mirrored pose, and the sign it takes it with."""
    if name.startswith("waist"):
        return name, 1.0 if name == "waist_pitch" else -1.0
    side, rest = name.split("_", 1)
    return {"left": "right_", "right": "left_"}[side] + rest, 1.0


def mirrored_name(name: str) -> str:
    for side, other in (("left_", "right_"), ("right_", "left_")):
        if name.startswith(side):
            return other + name.removeprefix(side)
    return name


# --- A person's body -----------------------------------------------------------------------------


def test_mass_and_stature(model):
    assert model.body_mass.sum() == pytest.approx(70.0, abs=0.01)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    # Ankle 0.07 + shank 0.42 + thigh 0.41 = 0.90 to the hip, + 0.14 to the waist + 0.39 to the
    # neck + 0.27 to the vertex = 1.70 m.
    skull = model.geom("skull").id
    vertex = data.geom_xpos[skull, 2] + model.geom_size[skull, 2]
    sole = model.geom("left_foot_inner").id
    ground = data.geom_xpos[sole, 2] - model.geom_size[sole, 0]
    assert vertex - ground == pytest.approx(1.70, abs=1e-6)


@pytest.mark.parametrize(
    ("body", "fraction"),
    [  # de Leva 1996, table 4, male; torso and forearm are sums of two rows.
        ("head", 0.0694),
        ("torso", 0.1596 + 0.1633),
        ("pelvis", 0.1117),
        ("left_upper_arm", 0.0271),
        ("left_forearm", 0.0162 + 0.0061),
        ("left_thigh", 0.1416),
        ("left_shank", 0.0433),
        ("left_foot", 0.0137),
    ],
)
def test_segment_masses_follow_the_table(model, body, fraction):
    assert model.body(body).mass[0] / 70.0 == pytest.approx(fraction, abs=1e-4)


def test_every_hinge_has_a_range_and_one_motor_of_its_name(model):
    hinges = [name for name in names(model, "joint") if name != "root"]
    assert len(hinges) >= 17
    assert names(model, "actuator") == hinges
    assert model.actuator_trnid[:, 0].tolist() == [model.joint(name).id for name in hinges]
    assert model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE
    assert np.all(model.jnt_type[1:] == mujoco.mjtJoint.mjJNT_HINGE)
    assert np.all(model.jnt_limited[1:] == 1)
    limits = model.actuator_forcerange
    np.testing.assert_array_equal(limits[:, 0], -limits[:, 1])
    assert np.all((limits[:, 1] >= 40) & (limits[:, 1] <= 200))
    assert np.all(model.actuator_user > 0)


def test_the_names_that_terms_rely_on_exist(model):
    limbs = ("upper_arm", "forearm", "thigh", "shank", "foot")
    bodies = {"pelvis", "torso", "head"} | {f"{s}_{b}" for s in ("left", "right") for b in limbs}
    assert bodies == set(names(model, "body")) - {"world"}
    assert set(names(model, "site")) == {"imu", "left_foot", "right_foot"}
    assert names(model, "sensor") == [
        "imu_gyro",
        "imu_accelerometer",
        "imu_orientation",
        "imu_velocity",
        "left_foot_touch",
        "right_foot_touch",
    ]
    assert set(names(model, "cam")) == {"track", "side"}
    assert names(model, "key") == ["stand"]
    assert all(names(model, "geom"))


# --- Mirrored sides ------------------------------------------------------------------------------


def test_left_and_right_are_mirror_images(model):
    """A mirrored pose and velocity give mirrored shapes and the same kinetic energy."""
    hinges = names(model, "joint")[1:]
    rng = np.random.default_rng(0)
    low, high = model.jnt_range[1:].T
    here, there = mujoco.MjData(model), mujoco.MjData(model)
    angles = dict(zip(hinges, rng.uniform(low, high), strict=True))
    speeds = dict(zip(hinges, rng.normal(size=len(hinges)), strict=True))
    for name in hinges:
        other, sign = mirrored_joint(name)
        here.joint(name).qpos, here.joint(name).qvel = angles[name], speeds[name]
        there.joint(other).qpos = sign * angles[name]
        there.joint(other).qvel = sign * speeds[name]
    for data in (here, there):
        mujoco.mj_forward(model, data)
        mujoco.mj_energyVel(model, data)
    for name in names(model, "geom"):
        expected = here.geom(name).xpos * (1.0, -1.0, 1.0)
        np.testing.assert_allclose(there.geom(mirrored_name(name)).xpos, expected, atol=1e-9)
    assert there.energy[1] == pytest.approx(here.energy[1], rel=1e-9)
    assert here.energy[1] > 1.0


def test_left_and_right_have_the_same_numbers(model):
    for name in names(model, "joint")[1:]:
        other = mirrored_joint(name)[0]
        for field in ("range", "armature", "damping"):
            ours, theirs = getattr(model.joint(name), field), getattr(model.joint(other), field)
            np.testing.assert_array_equal(ours, theirs)
        for field in ("forcerange", "ctrlrange", "user"):
            ours, theirs = (
                getattr(model.actuator(name), field),
                getattr(model.actuator(other), field),
            )
            np.testing.assert_array_equal(ours, theirs)
    for name in names(model, "body"):
        ours, theirs = model.body(name), model.body(mirrored_name(name))
        np.testing.assert_array_equal(ours.mass, theirs.mass)
        np.testing.assert_array_equal(ours.inertia, theirs.inertia)


# --- Contacts and sensors ------------------------------------------------------------------------


def test_only_feet_and_floor_can_touch(model):
    bit, mask = model.geom_contype, model.geom_conaffinity
    possible = {
        tuple(sorted((model.geom(a).name, model.geom(b).name)))
        for a in range(model.ngeom)
        for b in range(a)
        if (bit[a] & mask[b]) or (bit[b] & mask[a])
    }
    feet = [f"{side}_foot_{part}" for side in ("left", "right") for part in ("inner", "outer")]
    assert possible == {("floor", foot) for foot in feet}
    # A capsule touches a plane at most at its two ends.
    assert all(model.geom(foot).type[0] == mujoco.mjtGeom.mjGEOM_CAPSULE for foot in feet)


def test_the_floor_alone_decides_friction(model):
    model.geom("floor").friction = (0.37, 0.005, 0.0001)
    data = standing(model)
    assert data.ncon == 8
    np.testing.assert_allclose(data.contact.friction[:, 0], 0.37)
    assert np.all(data.contact.dim == 3)


def test_the_feet_just_touch_the_floor_in_the_standing_pose(model):
    data = standing(model)
    assert data.ncon == 8
    np.testing.assert_allclose(data.contact.dist, 0.0, atol=1e-4)
    knees = [data.joint(f"{side}_knee").qpos[0] for side in ("left", "right")]
    assert all(0.1 < knee < 0.6 for knee in knees)
    np.testing.assert_array_equal(data.ctrl, data.qpos[7:])


def test_sensors_of_a_person_at_rest(model):
    model = with_position_servos(model)
    data = standing(model)
    hold(model, data, seconds=10.0)
    # The soles carry the weight: 70 kg * 9.81 m/s^2 = 686.7 N, half on each side.
    touch = [data.sensor(f"{side}_foot_touch").data[0] for side in ("left", "right")]
    assert sum(touch) == pytest.approx(70 * GRAVITY, rel=0.01)
    assert touch[0] == pytest.approx(touch[1], rel=0.01)
    specific_force = data.sensor("imu_accelerometer").data
    assert np.linalg.norm(specific_force) == pytest.approx(GRAVITY, rel=0.01)
    assert specific_force[2] > 0.99 * GRAVITY
    assert abs(data.sensor("imu_orientation").data[0]) > 0.999
    np.testing.assert_allclose(data.sensor("imu_gyro").data, 0.0, atol=0.02)
    np.testing.assert_allclose(data.sensor("imu_velocity").data, 0.0, atol=0.02)


def test_a_lifted_foot_feels_nothing(model):
    data = standing(model)
    data.qpos[2] += 0.01
    mujoco.mj_forward(model, data)
    assert data.ncon == 0
    assert data.sensor("left_foot_touch").data[0] == 0.0


# --- It stands -----------------------------------------------------------------------------------


def test_solver_settings_are_those_of_training(model):
    assert model.opt.timestep == 0.005
    assert (model.opt.iterations, model.opt.ls_iterations) == (6, 6)
    assert model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_EULERDAMP


@pytest.mark.parametrize("timestep", [0.004, 0.005])
def test_it_stands_for_ten_seconds(model, timestep):
    model = with_position_servos(model)
    model.opt.timestep = timestep
    data = standing(model)
    height, upright = hold(model, data)
    assert height > 0.98
    assert upright > 0.98
    assert np.abs(data.qvel).max() < 0.02


def test_it_falls_without_torque(model):
    model = with_position_servos(model, strength=0.0)
    height, _ = hold(model, standing(model), seconds=2.0)
    assert height < 0.5


@pytest.mark.parametrize("push", [(75.0, 0.0), (-75.0, 0.0), (0.0, 75.0), (0.0, -75.0)])
def test_it_recovers_from_a_push(model, push):
    """75 N for 0.1 s: 7.5 N s, which moves 70 kg at 0.11 m/s."""
    model = with_position_servos(model)
    data = standing(model)
    height, upright = hold(model, data, push=push)
    assert height > 0.95
    assert upright > 0.95
    assert np.abs(data.qvel).max() < 0.05


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_stands_from_a_disturbed_pose(model, seed):
    model = with_position_servos(model)
    data = standing(model)
    rng = np.random.default_rng(seed)
    data.qpos[7:] += rng.uniform(-0.03, 0.03, model.nu)
    data.qvel[6:] += rng.uniform(-0.1, 0.1, model.nu)
    height, upright = hold(model, data)
    assert height > 0.95
    assert upright > 0.95


def test_a_hard_push_fells_it_and_leaves_numbers_finite(model):
    model = with_position_servos(model)
    data = standing(model)
    height, _ = hold(model, data, seconds=5.0, push=(600.0, 300.0))
    assert height < 0.5
    assert np.isfinite(data.qpos).all()
    assert np.isfinite(data.qvel).all()
    assert np.abs(data.qvel).max() < 100.0


def test_servos_are_stable_in_the_air_and_within_their_limits(model):
    """Free floating, where a joint carries the least inertia, joint speeds die out."""
    model = with_position_servos(model)
    model.opt.gravity[:] = 0.0
    data = standing(model)
    data.qpos[2] += 1.0
    data.qvel[6:] = np.random.default_rng(0).normal(scale=2.0, size=model.nu)
    largest = np.zeros(model.nu)
    for _ in range(400):
        mujoco.mj_step(model, data)
        largest = np.maximum(largest, np.abs(data.actuator_force))
    assert np.abs(data.qvel[6:]).max() < 0.01
    assert np.all(largest <= model.actuator_forcerange[:, 1])
