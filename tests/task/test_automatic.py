"""Options that are settled when the devices are known."""

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import pytest

from ksim.config import AUTO, ConfigError, load_config
from ksim.config.concerns import RolloutConfig
from ksim.config.concerns.run import RunConfig
from ksim.preflight import number_of_environments as autoscale
from ksim.preflight.number_of_environments import SizeChosen
from ksim.task import DistributedRLConfig
from ksim.task import automatic as sizes
from tests.small_cartpole import numbers, small_config, small_task


@pytest.fixture
def chosen(monkeypatch):
    """Chooses 48 environments, and measures nothing."""

    def choose(build, devices, num_batches, seed, is_cached):
        program = build(24)
        assert (program.num_envs, program.algorithm.num_batches) == (24, num_batches)
        return SizeChosen(48, "chosen by a toss.")

    monkeypatch.setattr(autoscale, "choose_num_envs", choose)


def auto_task(**changes):
    # The cart-pole has 32 environments in batches of 8 by default: 4 minibatches.
    return small_task(num_envs=AUTO, batch_size=8, **changes)


def test_everything_downstream_sees_the_number(chosen, tmp_path, capsys):
    task = auto_task(num_devices=2, max_steps=1, run_dir=f"{tmp_path}/run")
    result = task.run()
    assert (task.config.num_envs, task.config.batch_size) == (48, 12)
    text = (result.path / "config.yaml").read_text()
    assert "# chosen by a toss.\nnum_envs: 48\n" in text
    assert "# follows from num_envs=auto: 4 minibatches, as by default.\nbatch_size: 12\n" in text
    again = load_config(small_config(run_dir=task.config.run_dir), result.path / "config.yaml")
    assert again == task.config
    assert "num_envs=48: chosen by a toss." in capsys.readouterr().out

    # A run that goes on keeps its number, and measures nothing.
    again = auto_task(num_devices=2, max_steps=2, load_from_ckpt_path=str(result.path))
    assert again.build().num_envs == 48
    assert "was saved with" in again.build().notes["num_envs"]


def test_the_choice_is_measured(capsys):
    task = auto_task(num_devices=2, rollout_length_frames=4)
    original = autoscale.MAX_SIZES
    try:
        autoscale.MAX_SIZES = 2
        program = task.build()
    finally:
        autoscale.MAX_SIZES = original
    output = capsys.readouterr().out
    assert "num_envs=auto: trying 16 environments" in output
    assert "num_envs=auto: trying 64 environments" in output
    assert program.num_envs in (16, 64)
    assert program.notes["num_envs"].startswith("chosen by num_envs=auto. Tried: 16 environments:")


def test_devices_are_chosen_before_anything_else_starts_jax(chosen, monkeypatch):
    task, asked = auto_task(num_devices=2), []
    partitioner = task.get_partitioner()

    def process_count():
        asked.append("processes")
        return 2

    def get_partitioner():
        asked.append("devices")
        return partitioner

    monkeypatch.setattr(task, "get_partitioner", get_partitioner)
    monkeypatch.setattr(jax, "process_count", process_count)
    with pytest.raises(ConfigError, match="measures in one process, and there are 2"):
        task.settle()
    assert asked[0] == "devices"


def test_a_class_may_leave_the_number_to_the_machine():
    @dataclass
    class Sized(RolloutConfig):
        num_envs: int = 96
        batch_size: int = 32

    @dataclass
    class Measured(Sized):
        num_envs: int = AUTO

    @dataclass
    class MeasuredBase(RunConfig, RolloutConfig):
        num_envs: int = AUTO

    assert Measured().default_num_batches == Sized(num_envs=AUTO).default_num_batches == 3
    assert MeasuredBase().default_num_batches == RolloutConfig().num_batches == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 4}, "and batch_size=4 is given. Leave batch_size out"),
        ({"batch_size": 8, "scaling": "weak"}, "scaling=weak counts on one. Write scaling=strong"),
    ],
)
def test_options_that_do_not_go_with_auto(changes, message):
    with pytest.raises(ConfigError, match=message):
        small_task(num_envs=AUTO, **changes)


def test_weak_scaling_by_hand(chosen):
    config = small_config(scaling="weak", learning_rate=1e-3, num_devices=4)
    settled, notes = sizes.settle_weak_scaling(config, 4)
    assert (settled.num_envs, settled.batch_size) == (64, 32)  # 4 * 16 and 4 * 8
    assert settled.num_batches == config.num_batches == 2
    assert settled.learning_rate == pytest.approx(2e-3)  # the root of 4
    assert settled.scaling == "strong"
    assert settled.max_steps == config.max_steps
    assert notes["num_envs"] == "scaling=weak on 4 device(s): 16 on each."


@pytest.mark.parametrize(
    ("names", "changed"),
    [((), set()), (("actor_rate", "critic_rate"), {"actor_rate", "critic_rate"})],
)
def test_weak_scaling_changes_the_learning_rates_that_a_config_names(names, changed):
    @dataclass
    class OtherConfig(DistributedRLConfig):
        learning_rates: ClassVar[tuple[str, ...]] = names
        actor_rate: float = 1e-3
        critic_rate: float = 2e-3

    settled, notes = sizes.settle_weak_scaling(OtherConfig(scaling="weak"), 9)
    assert set(notes) == {"num_envs", "batch_size", "scaling"} | changed
    factor = 3 if changed else 1  # the root of 9
    assert settled.actor_rate == pytest.approx(factor * 1e-3)
    assert settled.critic_rate == pytest.approx(factor * 2e-3)


def test_weak_scaling_is_the_strong_run_of_as_many_environments(tmp_path, capsys):
    weak = small_task(
        num_devices=2,
        num_envs=8,
        batch_size=4,
        scaling="weak",
        learning_rate=1e-3,
        max_steps=2,
        run_dir=f"{tmp_path}/run",
    )
    weak.verify_distributed_setup()
    assert "Total environments: 16" in capsys.readouterr().out
    result = weak.run()
    strong = small_task(num_devices=2, learning_rate=math.sqrt(2) * 1e-3, max_steps=2).run()
    expected = numbers(strong.train_state)
    for name, value in numbers(result.train_state).items():
        assert (value == expected[name]).all(), name
    # The file says what was run, so that it runs again whatever the devices.
    again = load_config(small_config(), result.path / "config.yaml")
    assert (again.num_envs, again.batch_size, again.scaling) == (16, 8, "strong")


def test_weak_numbers_need_not_divide_by_the_devices():
    small_task(num_devices=4, num_envs=6, batch_size=3, scaling="weak").settle()
    with pytest.raises(ConfigError, match="must be divisible by number of devices"):
        small_task(num_devices=4, num_envs=6, batch_size=3)
