"""Speed, shares of time, traffic and efficiency, by hand and in a run."""

import jax
import numpy as np
import pytest

from ksim.parallel import Pmap, ShardMap, Traffic
from ksim.training.telemetry import DeviceClock, Telemetry, device_metrics
from tests.small_cartpole import read_metrics, small_task
from tests.training.test_baseline import PER_DEVICE, write_run


def test_metrics_by_hand():
    telemetry = Telemetry(
        num_devices=4,
        bytes_per_update=5000.0,
        communication_seconds=0.2,
        single_device_rate=100.0,
    )
    assert telemetry.metrics(600, 2.0, rollout_seconds=1.5, update_seconds=0.5) == {
        "throughput/env_steps_per_second": 300,  # 600 / (1.5 + 0.5)
        PER_DEVICE: 75,
        "time/global_fps": 300,
        "time/rollout_seconds": 1.5,
        "time/update_seconds": 0.5,
        "time/rollout_share": 0.75,
        "time/update_share": 0.25,
        "communication/bytes_per_update": 5000,
        "time/communication_share_estimated": pytest.approx(0.1),  # 0.2 / 2
        "throughput/parallel_efficiency": 0.75,  # 300 / (4 * 100)
    }


def test_communication_is_a_part_of_the_update():
    telemetry = Telemetry(num_devices=2, communication_seconds=9.0)
    metrics = telemetry.metrics(1, 4.0, rollout_seconds=3.0, update_seconds=1.0)
    assert metrics["time/communication_share_estimated"] == 0.25


def test_what_overlaps_takes_the_time_of_the_iteration():
    metrics = Telemetry(num_devices=1).metrics(600, 2.0, rollout_seconds=2.0, update_seconds=1.0)
    assert metrics["throughput/env_steps_per_second"] == 300
    assert metrics["time/rollout_share"] == 1
    assert metrics["time/update_share"] == 0.5


def test_what_is_not_known_is_left_out():
    metrics = Telemetry(num_devices=1).metrics(8, 2.0, 1.0, 1.0)
    assert metrics.keys() == {
        *("throughput/env_steps_per_second", PER_DEVICE),
        *("time/global_fps", "time/rollout_seconds", "time/update_seconds"),
        *("time/rollout_share", "time/update_share"),
    }


def test_the_slowest_device_by_hand():
    assert device_metrics({0: 1.0, 1: 3.0, 2: 2.0}) == {
        "time/slowest_device": 1,
        "time/slowest_device_excess": 0.5,  # 3 / 2 - 1
        "time/device/0/rollout_seconds": 1.0,
        "time/device/1/rollout_seconds": 3.0,
        "time/device/2/rollout_seconds": 2.0,
    }
    assert device_metrics({}) == {}


@pytest.mark.parametrize("partitioner", [Pmap, ShardMap])
def test_each_device_is_waited_for(partitioner):
    devices = partitioner(jax.devices()[:4])
    array = devices.shard_environments(np.zeros(4, np.float32))
    seconds = DeviceClock(4).wait(array, began=0.0)
    assert list(seconds) == [0, 1, 2, 3]
    assert DeviceClock(1).wait(array, began=0.0) == {}


@pytest.mark.parametrize("period", [1, 4])
def test_the_traffic_of_a_run(period):
    program = small_task(num_devices=4, grad_sync_period=period).build()
    telemetry = Telemetry.of(program)
    # Actor and critic: 4 inputs, 16 hidden units; 2 actions and 1 value.
    sizes = (4 * 16, 16, 16 * 2, 2, 4 * 16, 16, 16 * 1, 1)
    # 2 passes of 2 minibatches; Adam keeps two moments of each.
    expected = Traffic(sizes, 4, period=period, num_optimizer_numbers=2 * sum(sizes))
    assert telemetry.bytes_per_update == pytest.approx(expected.bytes_per_update(4))
    assert telemetry.communication_seconds > 0


def test_one_device_sends_nothing():
    telemetry = Telemetry.of(small_task(num_devices=1).build())
    assert telemetry.bytes_per_update == 0
    assert telemetry.communication_seconds is None


def test_a_run_compares_itself_with_the_run_that_is_named(tmp_path, capsys):
    baseline = write_run(tmp_path / "one", [1.0, 1000.0])
    task = small_task(
        num_devices=2, max_steps=2, run_dir=f"{tmp_path}/run", efficiency_baseline=str(baseline)
    )
    line = read_metrics(task.run().path)[-1]
    total = line["throughput/env_steps_per_second"]
    assert line[PER_DEVICE] == pytest.approx(total / 2)
    assert line["throughput/parallel_efficiency"] == pytest.approx(total / 2000)
    assert line["time/rollout_share"] + line["time/update_share"] == pytest.approx(1)
    assert 0 < line["time/communication_share_estimated"] <= line["time/update_share"]
    assert line["time/slowest_device"] in (0, 1)
    slowest = int(line["time/slowest_device"])
    of_devices = [line[f"time/device/{index}/rollout_seconds"] for index in (0, 1)]
    assert max(of_devices) == of_devices[slowest] <= line["time/rollout_seconds"]
    shown = capsys.readouterr().out
    assert "efficiency" in shown
    assert "communicating" in shown
