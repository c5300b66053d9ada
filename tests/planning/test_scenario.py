"""What changes with the number of devices."""

import pytest

from ksim.config import ConfigError
from ksim.planning import Network, Scenario
from tests.planning.runs import NUM_PARAMETERS, workload
from tests.planning.test_cost_model import MODEL

NETWORK = Network(hop_seconds=1e-6, bytes_per_second=1e9)


def test_weak_scaling_keeps_the_work_of_a_device():
    scenario = Scenario(workload(num_devices=2, num_envs=64), NETWORK)
    load = scenario.workload(8)
    assert (load.num_envs, load.num_samples, load.num_devices) == (8 * 32, 8 * 320, 8)
    one, eight = scenario.cost(MODEL, 1), scenario.cost(MODEL, 8)
    assert eight.rollout_seconds == one.rollout_seconds
    # 4 averages of 2 * 7 hops; each sends 2 * 7/8 numbers of 4 bytes for each parameter.
    sent = 4 * 2 * 7 / 8 * 4 * NUM_PARAMETERS
    assert eight.communication_seconds == pytest.approx(4 * 14 * 1e-6 + sent / 1e9)
    assert scenario.efficiency(MODEL, 1) == 1
    assert scenario.efficiency(MODEL, 8) == pytest.approx(one.seconds / eight.seconds)


def test_strong_scaling_splits_the_environments():
    scenario = Scenario(workload(num_devices=2, num_envs=64), NETWORK, is_weak=False)
    assert scenario.workload(1).num_envs == scenario.workload(64).num_envs == 64
    assert scenario.efficiency(MODEL, 8) < 0.5  # steps have a fixed cost
    with pytest.raises(ConfigError, match="64 environments cannot be split among 128 devices"):
        scenario.workload(128)


def test_what_is_changed():
    base = workload(num_devices=2, num_envs=64)
    scenario = Scenario(base, NETWORK, envs_per_device=100, grad_sync_period=2)
    assert scenario.workload(4).num_envs == 400
    assert scenario.workload(4).traffic.num_synchronising == 2
    compressed = Scenario(base, NETWORK, grad_compression="int8").workload(4)
    assert compressed.traffic.compression == "int8"
    with pytest.raises(ConfigError, match="int4: write one of none, float16, int8"):
        Scenario(base, NETWORK, grad_compression="int4")


def test_faster_devices_communicate_no_faster():
    base = workload()
    slow, fast = (Scenario(base, NETWORK, device_speed=x).cost(MODEL, 4) for x in (1.0, 10.0))
    assert fast.rollout_seconds == slow.rollout_seconds / 10
    assert fast.learning_seconds == slow.learning_seconds / 10
    assert fast.communication_seconds == slow.communication_seconds


def test_devices_that_share_parameters():
    split = {"fsdp_devices": 4, "split_sizes": (4 * NUM_PARAMETERS,)}
    scenario = Scenario(workload(num_devices=4, num_envs=64, traffic=split), NETWORK)
    assert [scenario.workload(count).traffic.fsdp_devices for count in (1, 2, 4, 8)] == [1, 2, 4, 4]
    assert scenario.efficiency(MODEL, 1) == 1
    assert scenario.cost(MODEL, 1).communication_seconds == 0
    assert scenario.workload(1).traffic.bytes_per_update(1) == 0
    # Within a group of 2: 2 * 1/2 of all 5 * 1000 numbers, of 4 bytes.
    assert scenario.workload(2).traffic.bytes_per_update(2) == 5 * NUM_PARAMETERS * 4
    with pytest.raises(ConfigError, match=r"6 devices are no whole .* Write --devices 4 8"):
        scenario.workload(6)
