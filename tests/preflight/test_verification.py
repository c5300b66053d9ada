"""What a trial before a run finds, and what it says."""

import dataclasses
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

import ksim
from examples.cartpole import CartPoleTask
from ksim.config import ConfigError
from ksim.preflight import verification as preflight_module
from ksim.preflight.device_fit import DeviceFit, DevicePlace, in_bytes
from ksim.preflight.distinctness import count_distinct, num_distinct_rows
from ksim.preflight.program_memory import ProgramMemory, bytes_on_device, program_memory
from ksim.preflight.report import show_devices
from tests.small_cartpole import (
    SMALL_ARGUMENTS,
    compiled_program,
    initial_states,
    small_config,
    small_task,
)
from tests.small_mujoco_task import SmallMujocoConfig, SmallMujocoTask

# 40 bytes of train state, which the update has twice: 80 do not depend on the environments.
MEMORY = ProgramMemory(train_state=40, environments=32, remembered=0, rollout=480, update=1680)


def fit_of(*free, kinds=("gpu",), num_envs=16, num_batches=2):
    """Devices with so much memory left, and half of the environments each if there are two."""
    share = num_envs // len(free)
    devices = tuple(
        DevicePlace(f"gpu:{i}", kinds[i % len(kinds)], "here", i * share, share, number)
        for i, number in enumerate(free)
    )
    return DeviceFit(devices, MEMORY, num_envs, num_batches)


def test_the_peak_is_the_larger_of_both():
    assert MEMORY.peak == 1680


def test_enough_memory_is_no_problem():
    fit = fit_of(2000, None)
    fit.check()
    assert fit.warnings() == []


def test_too_little_memory_says_how_many_environments_fit():
    # 0.9 * 1000 - 80 = 820 bytes for environments that take 1600: 0.51 * 16 = 8.2 of them, and a
    # multiple of 2 devices times 2 minibatches.
    message = r"takes 1.68 kB on each device, and device 1 \(gpu:1\) has 1 kB left."
    with pytest.raises(ConfigError, match=f"{message} Write num_envs=8 batch_size=4"):
        fit_of(2000, 1000).check()


def test_far_too_little_memory():
    with pytest.raises(ConfigError, match="Write a smaller rollout_length_seconds"):
        fit_of(200).check()


def test_hardly_enough_memory_is_a_warning():
    (warning,) = fit_of(1700).warnings()  # 0.9 * 1700 = 1530 < 1680
    # (0.9 * 1700 - 80) / 1600 * 16 = 14.5
    assert "write num_envs=14 batch_size=7." in warning


def test_devices_of_different_kinds_are_a_warning():
    (warning,) = fit_of(None, None, kinds=("H200", "A100")).warnings()
    assert warning.startswith("The devices are of different kinds: A100, H200.")


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1.234e6, "1.23 MB"), (999.9e6, "1 GB")],
)
def test_bytes_in_words(number, text):
    assert in_bytes(number) == text


def test_a_table_on_a_terminal_and_columns_elsewhere():
    fit = fit_of(2000, None)
    shown = {}
    for is_terminal in (False, True):
        output = io.StringIO()
        show_devices(fit, Console(file=output, force_terminal=is_terminal, width=100))
        shown[is_terminal] = output.getvalue()
    assert shown[False].splitlines() == [
        "device  host  kind  environments  takes    has free",
        "0       here  gpu   0-7           1.68 kB  2 kB",
        "1       here  gpu   8-15          1.68 kB  not known",
    ]
    assert "\N{BOX DRAWINGS LIGHT VERTICAL}" in shown[True]
    assert "not known" in shown[True]


def test_the_memory_of_a_device_shrinks_with_its_environments():
    memories = {}
    for num_devices in (1, 4):
        program = small_task(num_devices=num_devices).build()
        states = initial_states(program)
        memories[num_devices] = program_memory(compiled_program(program), *states, ())
    one, four = memories[1], memories[4]
    assert one.environments == 4 * four.environments
    assert one.train_state == four.train_state
    assert one.environments < one.rollout < one.peak
    assert four.peak < one.peak < 4 * four.peak


def test_bytes_on_a_device_count_keys_and_shards():
    partitioner = small_task(num_devices=4).partitioner
    tree = {"key": jax.random.key(0), "x": np.zeros(3, np.float32)}
    # Two words of a key, and 3 floats.
    assert bytes_on_device(partitioner.replicate_state(tree)) == 8 + 12
    # A quarter of 16 floats.
    assert bytes_on_device(partitioner.shard_environments(np.zeros(16, np.float32))) == 16


def test_rows_are_compared_over_all_leaves():
    tree = {"a": np.array([1, 1, 2, 1]), "b": np.array([[0.0], [1.0], [0.0], [0.0]])}
    assert num_distinct_rows(tree) == 3  # the first and the last agree
    assert num_distinct_rows({"key": jax.random.split(jax.random.key(0), 4)}) == 4
    assert num_distinct_rows({}) == 0


@pytest.mark.parametrize("layout", [{}, {"partitioner": "shard_map"}], ids=["pmap", "shard_map"])
def test_keys_of_all_devices_differ(layout):
    program = small_task(num_devices=4, **layout).build()
    _, env_state = initial_states(program)
    assert count_distinct(program, 0, env_state).num_keys == 16
    env_state = program.new_environments(0)
    # The mistake that is often made: every device counts from 0.
    env_state = env_state.replace(env_id=jnp.arange(16, dtype=jnp.int32) % 4)
    with pytest.raises(ConfigError, match="only 4 different random keys: the ids 0, 1, 2, 3 occur"):
        count_distinct(program, 0, program.partitioner.shard_environments(env_state))


def launch(*arguments, task=CartPoleTask, config=small_config):
    return task.launch(config(), [*SMALL_ARGUMENTS, "run_mode=verify", *arguments])


def test_verify_shows_everything_and_leaves_nothing(capsys, tmp_path):
    preflight = launch("num_devices=4", "is_compilation_cached=false")
    output = capsys.readouterr().out
    for text in (
        "Total environments: 16",
        "Device 3: environments 12-15",
        "device  host",
        "Memory of a device: ",
        "environment steps in a second",
        "Communication: an average over the devices takes",
        "Random keys: 16 different ones for 16 environments.",
        "States after a rollout: 16 different ones for 16 environments.",
        "Code and options: one process",
    ):
        assert text in output
    assert "Warning" not in output
    assert [device.first_env for device in preflight.fit.devices] == [0, 4, 8, 12]
    assert preflight.metrics["communication/bytes_per_update"] > 0
    assert list(tmp_path.iterdir()) == []


def test_too_little_memory_ends_it_before_the_trial(capsys, monkeypatch):
    monkeypatch.setattr(preflight_module, "free_bytes", lambda devices, _: [9000] * len(devices))
    with pytest.raises(SystemExit) as stop:
        launch("num_devices=2")
    output = capsys.readouterr()
    assert stop.value.code == 2
    assert "has 9 kB left. Write " in output.err
    assert "9 kB" in output.out  # the table is shown before
    assert "running a trial" not in output.out


def test_verify_of_one_device_by_a_method(capsys):
    small_task(num_devices=1).verify_distributed_setup(is_thorough=True)
    output = capsys.readouterr().out
    assert "Device 0: environments 0-15" in output
    assert "Communication: none, with one device." in output


class Deaf(ksim.CartPole):
    """A pole that always starts alike, and hears of one action only."""

    def reset(self, key):
        return super().reset(jax.random.key(0))

    def step(self, state, action, key):
        return super().step(state, jnp.zeros_like(action), key)


class DeafTask(CartPoleTask):
    def get_environment(self):
        return Deaf()


def test_environments_that_are_all_alike_are_a_warning(capsys):
    launch("num_devices=2", task=DeafTask)
    output = capsys.readouterr().out
    assert "Warning: After a rollout 16 environments are in only 1 different states." in output


def test_randomized_physics_differs_everywhere(capsys):
    config = SmallMujocoConfig(num_devices=2, run_mode="verify")
    preflight = SmallMujocoTask(config).run()
    assert preflight.distinctness.num_randomized == config.num_envs
    assert "Randomized physics: " in capsys.readouterr().out
    alike = dataclasses.replace(
        preflight, distinctness=dataclasses.replace(preflight.distinctness, num_randomized=1)
    )
    (warning,) = alike.warnings()
    assert "have only 1 different randomizations" in warning
