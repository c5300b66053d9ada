"""The compiled program: what it communicates, how often it is compiled, how it uses keys."""

import re

import jax
import numpy as np
import pytest

import ksim
from examples.cartpole import CartPoleTask
from examples.walking_distributed import (
    HumanoidWalkingDistributedConfig,
    HumanoidWalkingDistributedTask,
)
from ksim.reporting.status import RunStatus
from ksim.storage.run_directory import RunDirectory
from ksim.training.interrupt import GracefulStop
from ksim.training.loop import LoopSettings, TrainingLoop
from ksim.training.program import EVALUATE, TRAIN
from ksim.training.saving import SaveSettings
from ksim.training.start import Start
from tests.small_cartpole import (
    compiled_program,
    initial_states,
    iterate,
    numbers,
    request,
    small_config,
    small_task,
)
from tests.small_mujoco_task import SmallMujocoConfig, SmallMujocoTask

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "collective-permute", "all-to-all")


@pytest.fixture(scope="module")
def program():
    return small_task(num_devices=4).build()


@pytest.fixture(scope="module")
def compiled(program):
    return compiled_program(program)


def collectives_in(compiled):
    text = compiled.as_text()
    return {name for name in COLLECTIVES if f"{name}(" in text or f"{name}-start(" in text}


def test_the_rollout_communicates_nothing_and_the_update_averages(compiled):
    assert collectives_in(compiled.rollout) == set()
    assert collectives_in(compiled.update) == {"all-reduce"}


def test_the_rollout_of_physics_with_a_solver_communicates_nothing():
    """Its `while` loop is where a partitioner would like to agree on when to stop."""
    config = SmallMujocoConfig(
        num_devices=2, num_envs=4, batch_size=2, mjcf="cartpole.xml", engine="mjx"
    )
    program = SmallMujocoTask(config).build()
    with jax.numpy_rank_promotion("allow"):  # MJX broadcasts
        lowered = program.partitioned().rollout.lower(*initial_states(program), request(program, 0))
    # Collectives are made before the code is optimised.
    compiled = lowered.compile(compiler_options={"xla_backend_optimization_level": 0})
    assert "while(" in compiled.as_text()
    assert collectives_in(compiled) == set()


class CompilationRecorder:
    """A metrics logger that notes, with every iteration, what has been compiled so far."""

    def __init__(self, caplog):
        self.compiled, self._caplog = [], caplog

    def log(self, iteration, env_steps, wall_seconds, metrics):
        pattern = r"Finished XLA compilation of (.*) in"
        found = (re.match(pattern, message) for message in self._caplog.messages)
        self.compiled.append([match[1] for match in found if match])

    def close(self):
        pass


@pytest.fixture
def logged_compilations(caplog):
    """The log, with the compilations of all threads: `jax.log_compiles` is of one thread."""
    jax.config.update("jax_log_compiles", True)
    yield caplog
    jax.config.update("jax_log_compiles", False)


def test_one_compilation_serves_all_iterations_and_evaluations(tmp_path, logged_compilations):
    """The policy's mode is an input of the program: an evaluation needs no other one."""
    settings = LoopSettings(
        seed=0,
        max_steps=4,
        eval_every_n_steps=2,
        eval_length_seconds=0.64,
        saving=SaveSettings(every_n_steps=1),
    )
    program = small_task(num_devices=4).build()
    recorder = CompilationRecorder(logged_compilations)
    loop = TrainingLoop(program, settings, RunDirectory(tmp_path), [recorder], RunStatus())
    loop.run(Start(), GracefulStop(), start_time=0.0)
    first, second, *later = recorder.compiled
    assert len(first) >= 2  # the rollout and the update
    # The first checkpoint reads arrays of shapes that nothing has read before; the first
    # evaluation, in the second iteration, adds nothing.
    assert {*second[len(first) :]} <= {"jit(squeeze)"}
    assert later == [second, second]


def test_the_loop_asks_for_another_rollout_in_every_iteration(tmp_path):
    task = small_task(num_devices=4, max_steps=3, run_dir=f"{tmp_path}/run")
    program = task.build()
    *_, (by_hand, _) = iterate(program, compiled_program(program), num_iterations=3)
    expected = numbers(program.partitioner.unreplicate_state(by_hand))
    for name, value in numbers(task.run().train_state).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def trace(program):
    """Traces everything that a run computes."""
    states = initial_states(program)
    partitioned = program.partitioned()
    lowered = partitioned.rollout.lower(*states, request(program, 0))
    _, trajectory, statistics = lowered.out_info
    partitioned.update.lower(states[0], program.new_memory(), trajectory, statistics)


def small_mujoco_task():
    return SmallMujocoTask(SmallMujocoConfig(num_devices=2))


def humanoid():
    config = HumanoidWalkingDistributedConfig(num_devices=2, num_envs=4, batch_size=2)
    return HumanoidWalkingDistributedTask(config)


@pytest.mark.parametrize(
    "task", [small_task, small_mujoco_task, pytest.param(humanoid, marks=pytest.mark.slow)]
)
def test_no_key_is_used_twice(task):
    program = task().build()
    with jax.debug_key_reuse(True), jax.numpy_rank_promotion("allow"):  # MJX broadcasts
        trace(program)


class UsesAKeyTwice(ksim.CartPole):
    def reset(self, key):
        state, observations = super().reset(key)
        return state, {"state": observations["state"] + jax.random.normal(key, (4,))}


def test_a_key_used_twice_is_found():
    class Task(CartPoleTask):
        def get_environment(self):
            return UsesAKeyTwice()

    program = Task(small_config(num_devices=2)).build()
    with jax.debug_key_reuse(True), pytest.raises(jax.errors.KeyReuseError):
        trace(program)


def rollout(program, compiled, iteration, stream=TRAIN, is_deterministic=False):
    """The trajectory of a rollout from the start of a run, time first."""
    asked = request(program, iteration, is_deterministic, stream)
    _, trajectory, _ = compiled.rollout(*initial_states(program), asked)
    steps = (
        trajectory.observations["state"],
        trajectory.kept["latent"],
        trajectory.kept["log_prob"],
    )
    return program.partitioner.gather_steps(steps)


def test_every_environment_step_iteration_and_stream_has_numbers_of_its_own(program, compiled):
    first, again, later, evaluation = (
        rollout(program, compiled, *arguments)[0] for arguments in ((0,), (0,), (1,), (0, EVALUATE))
    )
    np.testing.assert_array_equal(first, again)
    # Row 0 is before the first reset; row 1 holds the states in which the episodes begin.
    starts = np.concatenate([first[1], later[1], evaluation[1]])
    assert len(np.unique(starts, axis=0)) == 3 * program.num_envs


def test_a_deterministic_policy_takes_the_likelier_action(program, compiled):
    _, actions, log_prob = rollout(program, compiled, 0, is_deterministic=True)
    assert np.all(log_prob >= np.log(0.5) - 1e-6)
    _, drawn_actions, drawn_log_prob = rollout(program, compiled, 0)
    assert np.any(drawn_log_prob < np.log(0.5))
    assert np.any(drawn_actions != actions)


def test_the_seed_decides(program):
    first, again, other = (
        numbers(program.initial_train_state(seed).learner.model) for seed in (0, 0, 1)
    )
    for name, value in first.items():
        np.testing.assert_array_equal(again[name], value)
    assert any(np.any(other[name] != value) for name, value in first.items())
