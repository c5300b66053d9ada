"""What holds for every term that `ksim.terms` exports."""

import dataclasses
import inspect
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ksim.terms as terms
from ksim.physics import EpisodeStart
from ksim.terms import StepState

FEET = ("left_foot", "right_foot")
INF = math.inf

# Every term, as built from the biped, and the range that its documentation promises.
TERMS = {
    "PositionActuators": (
        lambda model: terms.PositionActuators.create(model, kp=50.0, kd=2.0),
        (-1.5, 1.0),
    ),
    "ModelActuators": (
        lambda model: terms.ModelActuators(
            control_ids=(0, 1, 2, 3), lower=(-80.0,) * 4, upper=(60.0,) * 4
        ),
        (-80.0, 60.0),
    ),
    "TorqueActuators": (terms.TorqueActuators.create, (-80.0, 80.0)),
    "LinearVelocityCommand": (
        lambda model: terms.LinearVelocityCommand.create(model, interval_range=(0.02, 0.04)),
        (-0.5, 1.0),
    ),
    "AngularVelocityCommand": (terms.AngularVelocityCommand.create, (-0.5, 0.5)),
    "ConstantCurriculum": (lambda model: terms.ConstantCurriculum(0.5), (0.0, 1.0)),
    "LinearCurriculum": (lambda model: terms.LinearCurriculum(10), (0.0, 1.0)),
    "EpisodeLengthCurriculum": (
        lambda model: terms.EpisodeLengthCurriculum(raise_above_seconds=2.0),
        (0.0, 1.0),
    ),
    "PushEvent": (
        lambda model: terms.PushEvent.create(model, interval_range=(0.0, 0.04)),
        (-0.5, 0.5),
    ),
    "ActuatorForceObservation": (terms.ActuatorForceObservation.create, (-80.0, 80.0)),
    "BaseAngularVelocityObservation": (terms.BaseAngularVelocityObservation.create, (-INF, INF)),
    "BaseHeightObservation": (terms.BaseHeightObservation.create, (-INF, INF)),
    "BaseLinearVelocityObservation": (terms.BaseLinearVelocityObservation.create, (-INF, INF)),
    "BaseOrientationObservation": (terms.BaseOrientationObservation.create, (-1.0, 1.0)),
    "CommandObservation": (
        lambda model: terms.CommandObservation("linear_velocity"),
        (-INF, INF),
    ),
    "FeetContactObservation": (
        lambda model: terms.FeetContactObservation.create(model, FEET),
        (0.0, 1.0),
    ),
    "FeetPositionObservation": (
        lambda model: terms.FeetPositionObservation.create(model, FEET),
        (-1.0, 1.0),
    ),
    "GyroObservation": (
        lambda model: terms.GyroObservation.create(model, "imu_gyro"),
        (-INF, INF),
    ),
    "JointPositionObservation": (
        lambda model: terms.JointPositionObservation.create(
            model, default_positions="stand", noise=terms.UniformNoise(0.1)
        ),
        (-INF, INF),
    ),
    "JointVelocityObservation": (
        lambda model: terms.JointVelocityObservation.create(model, noise=terms.GaussianNoise(0.1)),
        (-INF, INF),
    ),
    "LastActionObservation": (lambda model: terms.LastActionObservation(), (-INF, INF)),
    "PhaseObservation": (lambda model: terms.PhaseObservation(0.8), (-1.0, 1.0)),
    "ProjectedGravityObservation": (terms.ProjectedGravityObservation.create, (-1.0, 1.0)),
    "SensorObservation": (
        lambda model: terms.SensorObservation.create(model, "imu_orientation"),
        (-1.0, 1.0),
    ),
    "ActuatorGainRandomizer": (terms.ActuatorGainRandomizer.create, (0.0, 1.2)),
    "ArmatureRandomizer": (terms.ArmatureRandomizer.create, (0.0, 0.024)),
    "CenterOfMassRandomizer": (terms.CenterOfMassRandomizer.create, (-0.4, 0.4)),
    "DampingRandomizer": (terms.DampingRandomizer.create, (0.0, 2.4)),
    "FrictionRandomizer": (terms.FrictionRandomizer.create, (0.0, 1.5)),
    "MassRandomizer": (terms.MassRandomizer.create, (0.0, 1.2 * 20.0)),
    "BaseVelocityReset": (terms.BaseVelocityReset.create, (-INF, INF)),
    "HeadingReset": (terms.HeadingReset.create, (-INF, INF)),
    "HeightReset": (terms.HeightReset.create, (-INF, INF)),
    "JointPositionReset": (terms.JointPositionReset.create, (-INF, INF)),
    "JointVelocityReset": (terms.JointVelocityReset.create, (-INF, INF)),
    "KeyframeReset": (lambda model: terms.KeyframeReset.create(model, "stand"), (-INF, INF)),
    "PoseReset": (lambda model: terms.PoseReset.create(model, {"*_knee": 0.4}), (-INF, INF)),
    "ActionRateReward": (lambda model: terms.ActionRateReward(), (0.0, INF)),
    "AliveReward": (lambda model: terms.AliveReward(), (1.0, 1.0)),
    "AngularVelocityTrackingReward": (terms.AngularVelocityTrackingReward.create, (0.0, 1.0)),
    "AngularVelocityXYReward": (terms.AngularVelocityXYReward.create, (0.0, INF)),
    "BaseHeightReward": (lambda model: terms.BaseHeightReward.create(model, 1.0), (0.0, 1.0)),
    "ContactReward": (
        lambda model: terms.ContactReward.create(model, ("left_touch", "right_touch")),
        (0.0, 2.0),
    ),
    "EnergyReward": (terms.EnergyReward.create, (0.0, INF)),
    "FeetAirTimeReward": (
        lambda model: terms.FeetAirTimeReward.create(model, FEET),
        (-0.4, 0.6),
    ),
    "FeetClearanceReward": (
        lambda model: terms.FeetClearanceReward.create(model, FEET, height=0.1),
        (0.0, INF),
    ),
    "FeetSlipReward": (lambda model: terms.FeetSlipReward.create(model, FEET), (0.0, INF)),
    "GaitPhaseReward": (lambda model: terms.GaitPhaseReward.create(model, FEET), (0.0, 1.0)),
    "GaitPoseReward": (
        lambda model: terms.GaitPoseReward.create(model, [{"left_knee": 0.6}]),
        (0.0, 1.0),
    ),
    "JointAccelerationReward": (terms.JointAccelerationReward.create, (0.0, INF)),
    "JointDeviationReward": (terms.JointDeviationReward.create, (0.0, INF)),
    "JointLimitReward": (terms.JointLimitReward.create, (0.0, INF)),
    "LinearVelocityTrackingReward": (terms.LinearVelocityTrackingReward.create, (0.0, 1.0)),
    "SingleStanceReward": (lambda model: terms.SingleStanceReward.create(model, FEET), (0.0, 1.0)),
    "StandStillReward": (terms.StandStillReward.create, (0.0, INF)),
    "TorqueReward": (terms.TorqueReward.create, (0.0, INF)),
    "UprightReward": (terms.UprightReward.create, (0.0, 1.0)),
    "VerticalVelocityReward": (terms.VerticalVelocityReward.create, (0.0, INF)),
    "BadVelocityTermination": (lambda model: terms.BadVelocityTermination(), (0, 1)),
    "ContactTermination": (
        lambda model: terms.ContactTermination.create(model, ("left_touch",)),
        (0, 1),
    ),
    "FallenTermination": (
        lambda model: terms.FallenTermination.create(model, min_height=1.0, max_tilt_deg=60.0),
        (0, 1),
    ),
    "TimeOutTermination": (lambda model: terms.TimeOutTermination(0.05), (0, 1)),
}
MODEL_FIELDS = (
    "geom_friction", "pair_friction", "body_mass", "body_inertia", "body_subtreemass",
    "dof_armature", "dof_damping", "actuator_gainprm", "actuator_biasprm", "body_ipos",
)  # fmt: skip

# How the terms of a family are called with what an environment has at hand.
CALLS = {
    terms.Actuators: lambda term, world, carry, key: term(
        world["action"], world["physics"], carry, key
    ),
    terms.Command: lambda term, world, carry, key: term(state_of(world), carry, key),
    terms.Curriculum: lambda term, world, carry, key: term(
        terms.TrainingProgress(**world["progress"]), carry
    ),
    terms.Event: lambda term, world, carry, key: term(state_of(world), carry, key),
    terms.Observation: lambda term, world, carry, key: term(state_of(world), carry, key),
    terms.Randomizer: lambda term, world, carry, key: term(world["fields"], carry, key),
    terms.Reset: lambda term, world, carry, key: reset(term, world, carry, key),
    terms.Reward: lambda term, world, carry, key: term(state_of(world), carry),
    terms.Termination: lambda term, world, carry, key: term(state_of(world), carry),
}


def state_of(world):
    names = ("physics", "action", "previous_action", "commands", "time", "level")
    return StepState(**{name: world[name] for name in names})


def reset(term, world, carry, key):
    physics = world["physics"]
    start = EpisodeStart(qpos=physics.qpos, qvel=physics.qvel)
    start, carry = term(start, world["level"], carry, key)
    return (start.qpos, start.qvel), carry


def call(term, world, carry, key):
    (family,) = [family for family in CALLS if isinstance(term, family)]
    return CALLS[family](term, world, carry, key)


@pytest.fixture(scope="module")
def worlds(model, make_physics):
    """Everything that terms are called with, of three environments in different states."""
    random = np.random.default_rng(0)
    mj_model = model.mj_model

    def world(height):
        qpos = mj_model.qpos0 + 0.3 * random.normal(size=mj_model.nq)
        qpos[2] = height
        qpos[3:7] /= np.linalg.norm(qpos[3:7])
        ctrl = 100.0 * random.normal(size=mj_model.nu)
        qvel = random.normal(size=mj_model.nv)
        return {
            "physics": make_physics(qpos=qpos, qvel=qvel, ctrl=ctrl),
            "action": random.normal(size=4) * 3,
            "previous_action": random.normal(size=4),
            "commands": {
                "linear_velocity": random.normal(size=2),
                "angular_velocity": random.normal(size=1),
            },
            "time": random.uniform(0.0, 0.1),
            "level": random.uniform(),
            "progress": {
                "iteration": random.integers(20),
                "num_episodes": 3.0,
                "mean_episode_length_seconds": random.uniform(0.0, 4.0),
                "mean_episode_return": 1.0,
            },
            "fields": {name: getattr(mj_model, name) for name in MODEL_FIELDS},
        }

    return [jax.tree.map(as_jax, world(height)) for height in (0.9, 1.0, 1.3)]


def as_jax(value):
    value = np.asarray(value)
    return jnp.array(value, jnp.float32 if np.issubdtype(value.dtype, np.floating) else jnp.int32)


def stack(trees):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


@dataclasses.dataclass
class Trial:
    """Two steps of three environments, one by one without jit, and together with it."""

    term: Any
    value_range: tuple[float, float]
    carries: list
    first: list
    second: list
    batched_first: Any
    batched_second: Any
    num_compilations: int


@pytest.fixture(scope="module", params=TERMS)
def trial(request, model, worlds):
    build, value_range = TERMS[request.param]
    term = build(model)
    init_keys, first_keys, second_keys = jax.random.split(jax.random.key(1), (3, 3))
    next_worlds = worlds[1:] + worlds[:1]

    def step(worlds, carries, keys):
        return [call(term, *arguments) for arguments in zip(worlds, carries, keys, strict=True)]

    carries = [term.init(key) for key in init_keys]
    first = step(worlds, carries, first_keys)
    second = step(next_worlds, [carry for _, carry in first], second_keys)
    batched = jax.jit(jax.vmap(lambda world, carry, key: call(term, world, carry, key)))
    batched_carry = jax.jit(jax.vmap(term.init))(init_keys)
    batched_first = batched(stack(worlds), batched_carry, first_keys)
    batched_second = batched(stack(next_worlds), batched_first[1], second_keys)
    return Trial(
        term,
        value_range,
        carries,
        first,
        second,
        batched_first,
        batched_second,
        batched._cache_size(),
    )


def test_all_is_sorted_and_the_suite_knows_every_term():
    assert terms.__all__ == sorted(terms.__all__)
    exported = [getattr(terms, name) for name in terms.__all__]
    classes = [item for item in exported if inspect.isclass(item) and issubclass(item, terms.Term)]
    final = {item.__name__ for item in classes if not inspect.isabstract(item)}
    assert final - {"Term"} == set(TERMS)


@pytest.mark.parametrize("name", TERMS)
def test_is_a_hashable_value(name, model):
    build, _ = TERMS[name]
    assert hash(build(model)) == hash(build(model))
    assert build(model) == build(model)


def test_jit_and_vmap_equal_an_eager_loop_and_compile_once(trial):
    assert_all_close(trial.batched_first, stack(trial.first))
    assert_all_close(trial.batched_second, stack(trial.second))
    assert trial.num_compilations == 1


def test_values_are_finite_and_in_the_documented_range(trial):
    lowest, highest = trial.value_range
    for leaf in jax.tree.leaves([value for value, _ in trial.first + trial.second]):
        assert np.isfinite(leaf).all()
        assert (leaf >= lowest - 1e-5).all()
        assert (leaf <= highest + 1e-5).all()


def test_types_stay_so_that_a_carry_can_be_scanned(trial):
    (carry, *_), ((first_value, first_carry), *_) = trial.carries, trial.first
    second_value, second_carry = trial.second[0]
    assert avals_of(carry) == avals_of(first_carry) == avals_of(second_carry)
    assert avals_of(first_value) == avals_of(second_value)
    for leaf in jax.tree.leaves(first_value):
        assert leaf.dtype == (bool if isinstance(trial.term, terms.Termination) else jnp.float32)


def assert_all_close(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for left, right in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-5)


def avals_of(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype, leaf.weak_type), tree)
