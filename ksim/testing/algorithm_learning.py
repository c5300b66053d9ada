"""Lets an algorithm act and learn, on one device and on several, and compares."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Key

from ksim.parallel import Partitioner, Pmap, ShardMap, SingleDevice
from ksim.rl import Trajectory
from ksim.testing.algorithm_trial import AlgorithmTrial, Devices, Learned
from ksim.testing.rules import numbers

SAME = 1e-5  # for the same call compiled in two ways: relative, and absolute below 1
NUM_ITERATIONS = 2
NUM_ALONE = 3  # environments whose memory is made alone, too


class _Course(NamedTuple):
    """Two iterations of an algorithm.

    Attributes:
      trajectories: what was seen and done in each.
      learned: what came of each.
    """

    trajectories: list[Trajectory]
    learned: list[Learned]


def check_learning(
    trial: AlgorithmTrial,
    partitioner: Partitioner | None,
    tolerance: float | None,
    key: Key[Array, ""],
) -> None:
    """Checks what an algorithm does, and that it is the same on several devices.

    Args:
      trial: the algorithm, whose types are right.
      partitioner: as for `check_algorithm`.
      tolerance: likewise.
      key: for all that is drawn.
    """
    several = partitioner or _two_devices(trial.num_envs)
    one = Devices(trial, _one_device(several))
    course = _play(trial, one, key)
    _check_numbers(trial, course)
    again = _play(trial, Devices(trial, one.partitioner), key)
    _check_deterministic(trial, course, again)
    if one.partitioner.num_devices == 1 and jax.tree.leaves(trial.memory):
        _check_memory_alone(trial, one, course)
    if several is not None and several.num_devices > 1:
        _check_devices(trial, Devices(trial, several), course, tolerance, key)


def _two_devices(num_envs: int) -> Partitioner | None:
    devices = jax.local_devices()
    return Pmap(devices[:2]) if len(devices) > 1 and num_envs % 2 == 0 else None


def _one_device(several: Partitioner | None) -> Partitioner:
    """Returns what runs the same on one device; all devices if they share parameters."""
    first = jax.local_devices()[0]
    if several is None:
        return SingleDevice(first)
    if several.group_size > 1:
        return several
    if isinstance(several.axis_name, str):
        return SingleDevice(first, several.axis_name)
    return ShardMap([first], several.axis_name[0])


def _play(trial: AlgorithmTrial, devices: Devices, key: Key[Array, ""]) -> _Course:
    """Acts and learns; first remembers as often as a run that only acts would."""
    num_acting_only = trial.iteration.num_acting_only
    learner, memory = trial.learner, trial.memory
    env_state = trial.new_environments(key)
    course = _Course([], [])
    for index in range(NUM_ITERATIONS):
        act_key, learn_key = jax.random.split(jax.random.fold_in(key, index))
        trajectory, env_state = devices.act(learner, env_state, act_key)
        for _ in range(num_acting_only if index == 0 else 0):
            memory = devices.remember(memory, trajectory)
        learned = devices.learn(learner, memory, trajectory, num_acting_only + index, learn_key)
        learner, memory = learned.learner, learned.memory
        course.trajectories.append(trajectory)
        course.learned.append(learned)
    return course


def _check_numbers(trial: AlgorithmTrial, course: _Course) -> None:
    first = numbers({"learner": trial.learner})
    for trajectory, learned in zip(*course, strict=True):
        kept = {"kept": trajectory.kept, "final": trajectory.final}
        _check_finite(trial, numbers(kept), "what a policy keeps is finite")
        _check_finite(trial, numbers(learned.metrics), "metrics are finite")
        after = numbers({"learner": learned.learner})
        were_finite = {name: after[name] for name, x in first.items() if _is_finite(x)}
        _check_finite(trial, were_finite, "a learner stays finite")


def _check_finite(trial: AlgorithmTrial, values: Mapping[str, Any], rule: str) -> None:
    advice = "look for divisions by 0, and for roots and logarithms of negative numbers."
    for name, x in values.items():
        trial.require(_is_finite(x), rule, f"{name} has {x[~np.isfinite(x)][:1]}", advice)


def _is_finite(x: np.ndarray) -> bool:
    return not np.issubdtype(x.dtype, np.inexact) or bool(np.isfinite(x).all())


def _check_deterministic(trial: AlgorithmTrial, course: _Course, again: _Course) -> None:
    """Compares with the same, compiled anew: what was drawn while tracing would differ."""
    advice = "draw from `key`, and keep in the learner and the memory what is to be kept."
    first, second = (numbers({"trajectory": one.trajectories[0]}) for one in (course, again))
    trial.require_same(first, second, "acting is deterministic", advice, SAME)
    first, second = (
        numbers({**one.learned[-1]._asdict(), "fingerprints": ()}) for one in (course, again)
    )
    trial.require_same(first, second, "learning is deterministic", advice, SAME)


def _check_memory_alone(trial: AlgorithmTrial, one: Devices, course: _Course) -> None:
    """Lets some environments remember alone what they remembered beside the others."""
    memory, trajectory = course.learned[0].memory, course.trajectories[1]
    together = numbers(one.remember(memory, trajectory))
    rule = "what an environment remembers depends on it alone"
    advice = "take no mean over environments, and call jax.vmap; use the device axis in update."
    for index in np.linspace(0, trial.num_envs - 1, NUM_ALONE).astype(int):
        own = jax.tree.map(lambda x, i=index: x[i : i + 1], memory)
        own_trajectory = jax.tree.map(lambda x, i=index: x[i], trajectory.parts(trial.num_envs))
        alone = numbers(one.remember(own, own_trajectory))
        expected = {name: x[index : index + 1] for name, x in together.items()}
        trial.require_same(expected, alone, rule, advice, SAME)


def _check_devices(
    trial: AlgorithmTrial,
    several: Devices,
    course: _Course,
    tolerance: float | None,
    key: Key[Array, ""],
) -> None:
    """Compares devices with each other, and all of them with one."""
    spread = _play(trial, several, key)
    rule = "devices hold the same after an update"
    advice = (
        "average over the devices whatever goes into the learner or the metrics:"
        " ksim.rl.updates.Updates does, or jax.lax.pmean over the axis of the synchronisation."
    )
    for learned in spread.learned:
        for name, prints in learned.fingerprints.items():
            found = f"{name} differs from device to device"
            trial.require(np.all(prints == prints[0]), rule, found, advice)
    if tolerance is None:
        return
    first, second = (numbers({"trajectory": one.trajectories[0]}) for one in (course, spread))
    rule = "acting does not depend on the number of devices"
    advice = "decide for each environment by its own observations, memory and key."
    trial.require_same(first, second, rule, advice, tolerance)
    # Metrics may tell of each device, as norms of gradients do that are summed up before they meet.
    first, second = (
        numbers({"learner": one.learned[0].learner, "memory": one.learned[0].memory})
        for one in (course, spread)
    )
    rule = "learning does not depend on the number of devices"
    advice = (
        "average over devices, and draw with ksim.parallel.environment_keys(key, env_id); give"
        " tolerance=None if devices are meant to learn apart."
    )
    trial.require_same(first, second, rule, advice, tolerance)
