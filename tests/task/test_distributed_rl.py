"""Which devices a task takes, and what lies on them."""

import logging

import jax
import numpy as np
import pytest

from ksim.parallel import Pmap, SingleDevice
from ksim.task.distributed_rl import SINGLE_DEVICE_WARNING
from tests.small_cartpole import small_task


def test_all_devices_by_default():
    partitioner = small_task().partitioner
    assert isinstance(partitioner, Pmap)
    assert partitioner.devices == tuple(jax.local_devices())
    assert partitioner.axis_name == "device"


def test_the_first_devices_on_request():
    task = small_task(num_devices=2, pmap_axis_name="worker")
    assert task.partitioner.devices == tuple(jax.local_devices()[:2])
    assert task.partitioner.axis_name == "worker"


def test_one_device_is_ordinary_training_with_a_warning(caplog):
    assert isinstance(small_task(num_devices=1).partitioner, SingleDevice)
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.WARNING, SINGLE_DEVICE_WARNING)


def test_several_devices_give_no_warning(caplog):
    small_task(num_devices=2).verify_distributed_setup()
    assert caplog.records == []


def test_the_setup_in_words(capsys):
    small_task(num_devices=4, grad_sync_period=3).verify_distributed_setup()
    assert capsys.readouterr().out.splitlines() == [
        "4 cpu device(s), cpu",
        "Total environments: 16",
        "Device 0: environments 0-3",
        "Device 1: environments 4-7",
        "Device 2: environments 8-11",
        "Device 3: environments 12-15",
        "Minibatches: 2 of 8 environments, 2 on each device;"
        " gradients are averaged every 3 update(s)",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"num_envs": 12, "batch_size": 4},
            r"Number of environments \(12\) must be divisible by number of devices \(8\)",
        ),
        (
            {"num_envs": 16, "batch_size": 4},
            r"Batch size \(4\) must be divisible by number of devices \(8\)",
        ),
        ({"num_devices": 16, "batch_size": 16}, "there are only 8 cpu device"),
    ],
)
def test_a_setup_that_cannot_be(changes, message):
    with pytest.raises(ValueError, match=message):
        small_task(**changes).verify_distributed_setup()


def test_replicating_and_sharding():
    task = small_task(num_devices=4)
    parameters = {"kernel": np.arange(6.0).reshape(2, 3)}
    replicated = task.replicate_state(parameters)
    assert {shard.device for shard in replicated["kernel"].addressable_shards} == set(
        task.partitioner.devices
    )
    for shard in replicated["kernel"].addressable_shards:
        np.testing.assert_array_equal(np.squeeze(shard.data, 0), parameters["kernel"])
    sharded = task.shard_environments({"id": np.arange(16)})
    for index, shard in enumerate(sharded["id"].addressable_shards):
        np.testing.assert_array_equal(np.ravel(shard.data), np.arange(4 * index, 4 * index + 4))
    with pytest.raises(ValueError, match="must be divisible by number of devices"):
        task.shard_environments({"id": np.arange(6)})
