"""A term that returns something else than its family does is told so, before anything runs."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

import ksim
from ksim import NativeEngine
from tests.physics.small_worlds import ARM_AND_CUBE

# The arm has 1 joint, and the cube 7 positions and 6 velocities: nq is 8, nv is 7.


@dataclasses.dataclass(frozen=True)
class GivenReward(ksim.Reward):
    result: Any
    first_carry: Any = ()

    def init(self, key):
        return self.first_carry

    def __call__(self, state, carry):
        return self.result(state.physics.qpos, carry)


@dataclasses.dataclass(frozen=True)
class GivenTermination(ksim.Termination):
    result: Any

    def __call__(self, state, carry):
        return self.result(state.physics.qpos, carry)


@dataclasses.dataclass(frozen=True)
class GivenObservation(ksim.Observation):
    result: Any

    def __call__(self, state, carry, key):
        return self.result(state.physics.qpos, carry)


@dataclasses.dataclass(frozen=True)
class GivenCommand(ksim.Command):
    result: Any

    def __call__(self, state, carry, key):
        return self.result(state.physics.qpos, carry)


@dataclasses.dataclass(frozen=True)
class GivenEvent(ksim.Event):
    result: Any

    def __call__(self, state, carry, key):
        return self.result(state.physics.qvel, carry)


@dataclasses.dataclass(frozen=True)
class GivenReset(ksim.Reset):
    result: Any

    def __call__(self, start, level, carry, key):
        return self.result(start, carry)


@dataclasses.dataclass(frozen=True)
class GivenRandomizer(ksim.Randomizer):
    result: Any
    fields: tuple[str, ...] = ("body_mass",)

    def __call__(self, model, carry, key):
        return self.result(model["body_mass"], carry)


@dataclasses.dataclass(frozen=True)
class GivenActuators(ksim.Actuators):
    result: Any
    ctrl_ids: tuple[int, ...] = (0,)

    def __call__(self, action, physics, carry, key):
        return self.result(action, carry)


def build(text=ARM_AND_CUBE, **families):
    mj_model = mujoco.MjModel.from_xml_string(text)
    model = ksim.PhysicsModel.create(mj_model, dt=0.005, ctrl_dt=0.02)
    terms = {
        "actuators": {"torque": ksim.TorqueActuators.create(model)},
        "observations": {"q": ksim.JointPositionObservation.create(model)},
        "rewards": {"alive": ksim.AliveReward()},
        "terminations": {},
    } | families
    return ksim.MujocoEnvironment(model, NativeEngine(model), ksim.MujocoTerms(**terms))


WRONG = {
    "no carry": ("rewards", GivenReward(lambda q, c: q[0]), r"returned float32\[\]; every term"),
    "nothing": ("commands", GivenCommand(lambda q, c: None), r"returned None; every term"),
    "a list": ("rewards", GivenReward(lambda q, c: [q[0], c]), r"Write `return value, carry`"),
    "vector": (
        "rewards",
        GivenReward(lambda q, c: (q, c)),
        r"float32\[8\]. Return a single",
    ),
    "text": ("rewards", GivenReward(lambda q, c: ("1", c)), r"a str. Return an array"),
    "float flag": ("terminations", GivenTermination(lambda q, c: (q[0], c)), r"a single boolean"),
    "flags": ("terminations", GivenTermination(lambda q, c: (q > 0, c)), r"bool\[8\].*jnp.any"),
    "integers": ("observations", GivenObservation(lambda q, c: (jnp.int32(q), c)), "astype"),
    "no number": ("observations", GivenObservation(lambda q, c: (q[:0], c)), "at least one number"),
    "short push": ("events", GivenEvent(lambda v, c: (v[:1], c)), r"change of every velocity"),
    "pair": ("resets", GivenReset(lambda s, c: (s.qpos, s.qvel)), r"as start.replace"),
    "short start": (
        "resets",
        GivenReset(lambda s, c: (s.replace(qpos=s.qpos[:1]), c)),
        r"qpos=float32\[1\].*Return EpisodeStart\(qpos=float32\[8\], qvel=float32\[7\]\)",
    ),
    "another field": (
        "randomizers",
        GivenRandomizer(lambda m, c: ({"body_mas": m}, c)),
        r"Return its fields by name: {body_mass: float32\[3\]}",
    ),
    "controls": (
        "actuators",
        GivenActuators(lambda a, c: (jnp.zeros(5), c)),
        r"each of its ctrl_ids: 1 numbers",
    ),
    "another carry": (
        "rewards",
        GivenReward(lambda q, c: (q[0], jnp.int32(0)), first_carry=0.0),
        r"returned the carry int32\[\], and init or the last call gave float32\[\]",
    ),
    "a shorter carry": (
        "rewards",
        GivenReward(lambda q, c: (q[0], {}), first_carry={"last": 0.0}),
        r"returned the carry {}, and init or the last call gave {last: float32\[\]}",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value_names_the_term_and_what_to_return(case):
    family, term, message = WRONG[case]
    class_name = type(term).__name__
    with pytest.raises(TypeError, match=rf'The \w+ "odd" \({class_name}\) .*{message}'):
        build(**{family: {"odd": term}})


def test_right_values_of_every_family_pass():
    build(
        actuators={"a": GivenActuators(lambda a, c: (a, c))},
        observations={"scalar": GivenObservation(lambda q, c: (q[0], c))},
        rewards={
            "python": GivenReward(lambda q, c: (1.0, c)),
            "numpy": GivenReward(lambda q, c: (np.float32(1), c)),
            "integer": GivenReward(lambda q, c: (jnp.int32(1), c + 1), first_carry=jnp.int32(0)),
        },
        terminations={"never": GivenTermination(lambda q, c: (False, c))},
        commands={
            "go": GivenCommand(lambda q, c: (jnp.ones(2), c)),
            "gait": GivenCommand(lambda q, c: (jnp.int32(2), c)),
        },
        resets={"as_it_is": GivenReset(lambda s, c: (s, c))},
        events={"push": GivenEvent(lambda v, c: (v, c))},
        randomizers={"mass": GivenRandomizer(lambda m, c: ({"body_mass": 2 * m}, c))},
    )


@pytest.mark.parametrize(
    ("actuators", "message"),
    [
        (
            {name: GivenActuators(None) for name in ("left", "right")},
            r'"left" and "right" both drive control 0',
        ),
        ({"far": GivenActuators(None, ctrl_ids=(1,))}, r'"far" drive control 1, and .* has 1'),
        ({"none": GivenActuators(None, ctrl_ids=())}, r"get_actuators\(\) gave no actuators"),
    ],
)
def test_actuators_drive_controls_of_their_own(actuators, message):
    with pytest.raises(ValueError, match=message):
        build(actuators=actuators)


def test_diverged_is_no_name_for_a_termination():
    with pytest.raises(ValueError, match=r'cannot be called "diverged".*Write "diverged_pose"'):
        build(terminations={"diverged": ksim.TimeOutTermination(1.0)})


@dataclasses.dataclass(frozen=True)
class FieldReward(ksim.Reward):
    field: str

    def __call__(self, state, carry):
        return jnp.sum(getattr(state.physics, self.field)), carry


@pytest.mark.parametrize(
    ("field", "needed"),
    [
        ("cfrc_ext", "<sensor><force site="),
        ("subtree_angmom", "<subtreeangmom body="),
        ("energy", "<flag energy="),
    ],
)
def test_a_field_that_would_always_be_zero_is_refused(field, needed):
    rewards = {"odd": FieldReward(field)}
    with pytest.raises(
        ValueError, match=f"reads physics.{field}.*always be zero. Write .*{needed}"
    ):
        build(rewards=rewards)
    sensors = (
        '<sensor><force site="s"/><subtreeangmom body="arm"/></sensor>'
        '<option><flag energy="enable"/></option></mujoco>'
    )
    with_sensors = ARM_AND_CUBE.replace("</mujoco>", sensors).replace(
        '<joint name="elbow"', '<site name="s"/><joint name="elbow"'
    )
    build(with_sensors, rewards=rewards)
