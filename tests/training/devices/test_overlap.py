"""Acting ahead, while the devices learn."""

import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ksim
from ksim.parallel import SingleDevice
from ksim.rl import RolloutStatistics, Trajectory
from ksim.training import loop, overlap
from ksim.training.actor import Rollouts
from tests.small_cartpole import (
    compiled_program,
    initial_states,
    read_metrics,
    request,
    small_task,
)
from tests.small_mujoco_task import SmallMujocoConfig, SmallMujocoTask


def overlapped_task(**options):
    return small_task(is_overlapped=True, **options)


def train(run: Path, max_steps: int = 4, **options):
    return overlapped_task(max_steps=max_steps, run_dir=str(run), **options).run()


def leaves(result):
    return jax.tree.leaves(result.train_state.learner)


def are_same(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(leaves(a), leaves(b), strict=True))


def test_what_acts_is_one_update_older(tmp_path):
    """The run, by hand: the first two rollouts are of the first policy."""
    program = small_task(num_devices=1).build()
    compiled = compiled_program(program)
    train_state, env_state = initial_states(program)
    acting_state = jax.tree.map(jnp.copy, train_state)
    for iteration in range(4):
        env_state, *acted = compiled.rollout(acting_state, env_state, request(program, iteration))
        acting_state = jax.tree.map(jnp.copy, train_state)
        train_state, _, _ = compiled.update(train_state, (), *acted)
    result = train(tmp_path / "run", num_devices=1)
    expected = jax.tree.leaves(program.partitioner.unreplicate_state(train_state).learner)
    for ours, theirs in zip(leaves(result), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    in_turn = small_task(num_devices=1, max_steps=4, run_dir=str(tmp_path / "in_turn")).run()
    assert not are_same(result, in_turn)


@pytest.mark.parametrize("partitioner", ["pmap", pytest.param("shard_map", marks=pytest.mark.slow)])
def test_the_number_of_learning_devices_changes_nothing(tmp_path, partitioner):
    one = train(tmp_path / "one", num_devices=1)
    two = train(tmp_path / "two", num_devices=2, partitioner=partitioner)
    for ours, theirs in zip(leaves(two), leaves(one), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    lengths = [
        [row["episode/length"] for row in read_metrics(tmp_path / name)] for name in ("one", "two")
    ]
    np.testing.assert_allclose(*lengths, rtol=1e-4)


def test_a_stopped_run_goes_on_bit_for_bit(tmp_path):
    whole = train(tmp_path / "whole", max_steps=5, num_devices=2)
    train(tmp_path / "parts", max_steps=2, num_devices=2)
    assert are_same(train(tmp_path / "parts", max_steps=5, num_devices=2), whole)


def test_runs_that_overlap_and_runs_that_do_not_continue_each_other(tmp_path):
    run = tmp_path / "run"
    train(run, max_steps=2, num_devices=1)
    assert small_task(max_steps=3, num_devices=1, run_dir=str(run)).run().iteration == 3
    assert train(run, max_steps=4, num_devices=1).iteration == 4


def test_devices_learn_while_the_host_acts(tmp_path, monkeypatch):
    """Were it one after the other, an update would wait in vain for the next rollout."""
    has_begun = [threading.Event() for _ in range(5)]
    run, compile_program = Rollouts.run, loop.compile_program
    num_updates = []

    def note_and_run(self, acting_state, env_state, iteration):
        has_begun[iteration].set()
        return run(self, acting_state, env_state, iteration)

    def compile_and_wait(*arguments):
        compiled = compile_program(*arguments)

        def update(*arguments):
            num_updates.append(1)
            if len(num_updates) < 4:  # nobody acts after the last one
                assert has_begun[len(num_updates)].wait(timeout=60)
            return compiled.update(*arguments)

        return compiled._replace(update=update)

    monkeypatch.setattr(Rollouts, "run", note_and_run)
    monkeypatch.setattr(loop, "compile_program", compile_and_wait)
    train(tmp_path / "run", num_devices=1)
    assert len(num_updates) == 4
    assert not has_begun[4].is_set()


def test_native_physics_acts_ahead(tmp_path):
    config = SmallMujocoConfig(
        is_overlapped=True, num_devices=2, max_steps=2, run_dir=str(tmp_path / "run")
    )
    assert SmallMujocoTask(config).run().iteration == 2


def test_an_error_while_acting_ends_the_run(tmp_path, monkeypatch):
    run = Rollouts.run

    def fail(self, acting_state, env_state, iteration):
        if iteration == 2:
            raise RuntimeError("the simulator is gone")
        return run(self, acting_state, env_state, iteration)

    monkeypatch.setattr(Rollouts, "run", fail)
    with pytest.raises(RuntimeError, match="the simulator is gone"):
        train(tmp_path / "run", num_devices=1)


def test_an_evaluation_is_no_training(tmp_path):
    run = tmp_path / "run"
    train(run, max_steps=1, num_devices=1)
    task = overlapped_task(num_devices=1, run_mode="evaluate", load_from_ckpt_path=str(run))
    assert task.run()["eval/episode/length"] > 0


def test_the_host_acts_and_all_devices_learn():
    program = overlap.overlapped(overlapped_task(num_devices=2).build())
    assert isinstance(program.actor, SingleDevice)
    assert program.actor.devices[0].platform == "cpu"
    assert program.partitioner.num_devices == 2


def test_physics_on_the_devices_is_refused():
    with pytest.raises(ksim.ConfigError, match="engine=mujoco"):
        SmallMujocoTask(SmallMujocoConfig(engine="mjx", is_overlapped=True))


def test_several_processes_are_refused(monkeypatch):
    program = overlapped_task(num_devices=1).build()
    monkeypatch.setattr(overlap, "current_processes", lambda: type("Two", (), {"count": 2}))
    with pytest.raises(ksim.ConfigError, match="is_overlapped=false"):
        overlap.overlapped(program)


@pytest.mark.parametrize("num_parts", [1, 2, 4])
def test_parts_of_a_trajectory_are_its_environments_in_order(num_parts):
    num_steps, num_envs = 3, 8
    by_time = np.arange(num_steps * num_envs).reshape(num_steps, num_envs)
    env_id = np.arange(num_envs)
    numbers = ("reward", "is_terminated", "is_truncated", "is_valid")
    trajectory = Trajectory(
        observations={"x": np.stack([by_time] * 2, axis=-1)},
        kept={"latent": by_time[..., None], "value": by_time},
        **dict.fromkeys(numbers, by_time),
        final={"value": env_id},
        initial_carry=(np.stack([env_id] * 5, axis=-1),),
        env_id=env_id,
    )
    parts = trajectory.parts(num_parts)
    each = num_envs // num_parts
    for part in range(num_parts):
        mine = slice(part * each, (part + 1) * each)
        np.testing.assert_array_equal(parts.env_id[part], env_id[mine])
        np.testing.assert_array_equal(parts.reward[part], by_time[:, mine])
        np.testing.assert_array_equal(parts.observations["x"][part, ..., 1], by_time[:, mine])
        np.testing.assert_array_equal(parts.kept["latent"][part, ..., 0], by_time[:, mine])
        np.testing.assert_array_equal(parts.initial_carry[0][part, :, 4], env_id[mine])
        np.testing.assert_array_equal(parts.final["value"][part], env_id[mine])


def test_parts_of_statistics_have_the_same_sums():
    names = ("num_steps", "reward", "num_episodes", "episode_return", "episode_length")
    sums = RolloutStatistics(
        **{name: np.array([i + 1.0]) for i, name in enumerate(names)},
        metrics={"m": np.array([8.0])},
        terminations={},
        contributions={},
        level=np.array([9.0]),
    )
    for ours, theirs in zip(jax.tree.leaves(sums.parts(4)), jax.tree.leaves(sums), strict=True):
        assert ours.shape == (4, 1)
        assert ours.sum() == theirs[0]
