"""How the speed of averages is measured."""

import itertools

import jax
import pytest

from ksim.parallel import CollectiveSpeed, Pmap, ShardMap, SingleDevice, measure_collectives
from ksim.parallel.averaging import speed as probe_module


def test_seconds_by_hand():
    speed = CollectiveSpeed(latency_seconds=1e-3, bytes_per_second=1e6)
    # 3 averages at 1 ms, and 2 MB at 1 MB/s.
    assert speed.seconds(3, 2e6) == pytest.approx(2.003)


def test_one_device_sends_nothing():
    assert measure_collectives(SingleDevice(jax.devices()[0])) is None


@pytest.mark.parametrize("partitioner", [Pmap, ShardMap])
def test_several_devices_take_some_time(partitioner):
    speed = measure_collectives(partitioner(jax.devices()[:4]), num_repeats=2, num_trials=1)
    assert speed.latency_seconds > 0
    assert speed.bytes_per_second > 0


def test_latency_and_bandwidth_come_from_two_sizes(monkeypatch):
    """With a clock by which the tiny average takes 2 s and the large one 6 s, in 2 repeats."""
    # Each trial reads the clock twice; the median of 3 leaves the outlier out.
    durations = iter([2.0, 2.0, 9.0, 6.0, 6.0, 60.0])
    times = itertools.chain.from_iterable((0.0, duration) for duration in durations)
    monkeypatch.setattr(probe_module.time, "perf_counter", lambda: next(times))
    speed = measure_collectives(Pmap(jax.devices()[:4]), num_repeats=2, num_trials=3)
    assert speed.latency_seconds == 1.0
    # Of 2^20 - 4 bytes more, 2 * 3 / 4 were sent in (6 - 2) / 2 = 2 s more.
    assert speed.bytes_per_second == pytest.approx((2**20 - 4) * 1.5 / 2)
