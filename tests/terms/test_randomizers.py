"""Randomizers: which model fields change, and how."""

import jax
import mujoco
import numpy as np
import pytest

from ksim.physics import MjxEngine
from ksim.terms import (
    ArmatureRandomizer,
    DampingRandomizer,
    FrictionRandomizer,
    MassRandomizer,
)

ALL = (ArmatureRandomizer, DampingRandomizer, FrictionRandomizer, MassRandomizer)


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


@pytest.mark.parametrize("family", ALL)
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


def test_wrong_names_and_ranges(model):
    with pytest.raises(KeyError, match=r"FrictionRandomizer\(geom=.*flor.*\).*floor"):
        FrictionRandomizer.create(model, ["flor"])
    with pytest.raises(KeyError, match=r"MassRandomizer\(body=.*torsoo.*\).*torso"):
        MassRandomizer.create(model, ["torsoo"])
    with pytest.raises(KeyError, match=r"DampingRandomizer\(joint=.*knee.*\).*left_knee"):
        DampingRandomizer.create(model, ["knee"])
    with pytest.raises(ValueError, match=r"scale_range must be .lower, upper."):
        FrictionRandomizer.create(model, scale_range=(-0.5, 1.0))
    with pytest.raises(ValueError, match=r"lower >= 0.001"):
        MassRandomizer.create(model, scale_range=(0.0, 1.0))
