"""What holds for every term among the public names."""

import dataclasses
import inspect
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ksim
from ksim import StepState
from ksim.physics import EpisodeStart

FEET = ("left_foot", "right_foot")
INF = math.inf

# Every term, as built from the biped, and the range that its documentation promises.
TERMS = {
    "PositionActuators": (
        lambda model: ksim.PositionActuators.create(model, kp=50.0, kd=2.0),
        (-1.5, 1.0),
    ),
    "ModelActuators": (
        lambda model: ksim.ModelActuators(
            control_ids=(0, 1, 2, 3), lower=(-80.0,) * 4, upper=(60.0,) * 4
        ),
        (-80.0, 60.0),
    ),
    "TorqueActuators": (ksim.TorqueActuators.create, (-80.0, 80.0)),
    "LinearVelocityCommand": (
        lambda model: ksim.LinearVelocityCommand.create(model, interval_range=(0.02, 0.04)),
        (-0.5, 1.0),
    ),
    "AngularVelocityCommand": (ksim.AngularVelocityCommand.create, (-0.5, 0.5)),
    "ConstantCurriculum": (lambda model: ksim.ConstantCurriculum(0.5), (0.0, 1.0)),
    "LinearCurriculum": (lambda model: ksim.LinearCurriculum(10), (0.0, 1.0)),
    "EpisodeLengthCurriculum": (
        lambda model: ksim.EpisodeLengthCurriculum(raise_above_seconds=2.0),
        (0.0, 1.0),
    ),
    "PushEvent": (
        lambda model: ksim.PushEvent.create(model, interval_range=(0.0, 0.04)),
        (-0.5, 0.5),
    ),
    "ActuatorForceObservation": (ksim.ActuatorForceObservation.create, (-80.0, 80.0)),
    "BaseAngularVelocityObservation": (ksim.BaseAngularVelocityObservation.create, (-INF, INF)),
    "BaseHeightObservation": (ksim.BaseHeightObservation.create, (-INF, INF)),
    "BaseLinearVelocityObservation": (ksim.BaseLinearVelocityObservation.create, (-INF, INF)),
    "BaseOrientationObservation": (ksim.BaseOrientationObservation.create, (-1.0, 1.0)),
    "CommandObservation": (
        lambda model: ksim.CommandObservation("linear_velocity"),
        (-INF, INF),
    ),
    "FeetContactObservation": (
        lambda model: ksim.FeetContactObservation.create(model, FEET),
        (0.0, 1.0),
    ),
    "FeetPositionObservation": (
        lambda model: ksim.FeetPositionObservation.create(model, FEET),
        (-1.0, 1.0),
    ),
    "GyroObservation": (
        lambda model: ksim.GyroObservation.create(model, "imu_gyro"),
        (-INF, INF),
    ),
    "JointPositionObservation": (
        lambda model: ksim.JointPositionObservation.create(
            model, default_positions="stand", noise=ksim.UniformNoise(0.1)
        ),
        (-INF, INF),
    ),
    "JointVelocityObservation": (
        lambda model: ksim.JointVelocityObservation.create(model, noise=ksim.GaussianNoise(0.1)),
        (-INF, INF),
    ),
    "LastActionObservation": (lambda model: ksim.LastActionObservation(), (-INF, INF)),
    "PhaseObservation": (lambda model: ksim.PhaseObservation(0.8), (-1.0, 1.0)),
    "ProjectedGravityObservation": (ksim.ProjectedGravityObservation.create, (-1.0, 1.0)),
    "SensorObservation": (
        lambda model: ksim.SensorObservation.create(model, "imu_orientation"),
        (-1.0, 1.0),
    ),
    "ActuatorGainRandomizer": (ksim.ActuatorGainRandomizer.create, (0.0, 1.2)),
    "ArmatureRandomizer": (ksim.ArmatureRandomizer.create, (0.0, 0.024)),
    "CenterOfMassRandomizer": (ksim.CenterOfMassRandomizer.create, (-0.4, 0.4)),
    "DampingRandomizer": (ksim.DampingRandomizer.create, (0.0, 2.4)),
    "FrictionRandomizer": (ksim.FrictionRandomizer.create, (0.0, 1.5)),
    "MassRandomizer": (ksim.MassRandomizer.create, (0.0, 1.2 * 20.0)),
    "BaseVelocityReset": (ksim.BaseVelocityReset.create, (-INF, INF)),
    "HeadingReset": (ksim.HeadingReset.create, (-INF, INF)),
    "HeightReset": (ksim.HeightReset.create, (-INF, INF)),
    "JointPositionReset": (ksim.JointPositionReset.create, (-INF, INF)),
    "JointVelocityReset": (ksim.JointVelocityReset.create, (-INF, INF)),
    "KeyframeReset": (lambda model: ksim.KeyframeReset.create(model, "stand"), (-INF, INF)),
    "PoseReset": (lambda model: ksim.PoseReset.create(model, {"*_knee": 0.4}), (-INF, INF)),
    "ActionRateReward": (lambda model: ksim.ActionRateReward(), (0.0, INF)),
    "AliveReward": (lambda model: ksim.AliveReward(), (1.0, 1.0)),
    "AngularVelocityTrackingReward": (ksim.AngularVelocityTrackingReward.create, (0.0, 1.0)),
    "AngularVelocityXYReward": (ksim.AngularVelocityXYReward.create, (0.0, INF)),
    "BaseHeightReward": (lambda model: ksim.BaseHeightReward.create(model, 1.0), (0.0, 1.0)),
    "ContactReward": (
        lambda model: ksim.ContactReward.create(model, ("left_touch", "right_touch")),
        (0.0, 2.0),
    ),
    "EnergyReward": (ksim.EnergyReward.create, (0.0, INF)),
    "FeetAirTimeReward": (
        lambda model: ksim.FeetAirTimeReward.create(model, FEET),
        (-0.4, 0.6),
    ),
    "FeetClearanceReward": (
        lambda model: ksim.FeetClearanceReward.create(model, FEET, height=0.1),
        (0.0, INF),
    ),
    "FeetSlipReward": (lambda model: ksim.FeetSlipReward.create(model, FEET), (0.0, INF)),
    "GaitPhaseReward": (lambda model: ksim.GaitPhaseReward.create(model, FEET), (0.0, 1.0)),
    "GaitPoseReward": (
        lambda model: ksim.GaitPoseReward.create(model, [{"left_knee": 0.6}]),
        (0.0, 1.0),
    ),
    "JointAccelerationReward": (ksim.JointAccelerationReward.create, (0.0, INF)),
    "JointDeviationReward": (ksim.JointDeviationReward.create, (0.0, INF)),
    "JointLimitReward": (ksim.JointLimitReward.create, (0.0, INF)),
    "LinearVelocityTrackingReward": (ksim.LinearVelocityTrackingReward.create, (0.0, 1.0)),
    "SingleStanceReward": (lambda model: ksim.SingleStanceReward.create(model, FEET), (0.0, 1.0)),
    "StandStillReward": (ksim.StandStillReward.create, (0.0, INF)),
    "TorqueReward": (ksim.TorqueReward.create, (0.0, INF)),
    "UprightReward": (ksim.UprightReward.create, (0.0, 1.0)),
    "VerticalVelocityReward": (ksim.VerticalVelocityReward.create, (0.0, INF)),
    "BadVelocityTermination": (lambda model: ksim.BadVelocityTermination(), (0, 1)),
    "ContactTermination": (
        lambda model: ksim.ContactTermination.create(model, ("left_touch",)),
        (0, 1),
    ),
    "FallenTermination": (
        lambda model: ksim.FallenTermination.create(model, min_height=1.0, max_tilt_deg=60.0),
        (0, 1),
    ),
    "TimeOutTermination": (lambda model: ksim.TimeOutTermination(0.05), (0, 1)),
}
MODEL_FIELDS = (
    "geom_friction", "pair_friction", "body_mass", "body_inertia", "body_subtreemass",
    "dof_armature", "dof_damping", "actuator_gainprm", "actuator_biasprm", "body_ipos",
)  # fmt: skip

# How the terms of a family are called with what an environment has at hand.
CALLS = {
    ksim.Actuators: lambda term, world, carry, key: term(
        world["action"], world["physics"], carry, key
    ),
    ksim.Command: lambda term, world, carry, key: term(state_of(world), carry, key),
    ksim.Curriculum: lambda term, world, carry, key: term(
        ksim.TrainingProgress(**world["progress"]), carry
    ),
    ksim.Event: lambda term, world, carry, key: term(state_of(world), carry, key),
    ksim.Observation: lambda term, world, carry, key: term(state_of(world), carry, key),
    ksim.Randomizer: lambda term, world, carry, key: term(world["fields"], carry, key),
    ksim.Reset: lambda term, world, carry, key: reset(term, world, carry, key),
    ksim.Reward: lambda term, world, carry, key: term(state_of(world), carry),
    ksim.Termination: lambda term, world, carry, key: term(state_of(world), carry),
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


def test_the_suite_knows_every_term():
    public = [getattr(ksim, name) for name in ksim.__all__]
    classes = [item for item in public if inspect.isclass(item) and issubclass(item, ksim.Term)]
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
        assert leaf.dtype == (bool if isinstance(trial.term, ksim.Termination) else jnp.float32)


def assert_all_close(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for left, right in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-5)


def avals_of(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype, leaf.weak_type), tree)
