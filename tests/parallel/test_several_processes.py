"""`ShardMap` over the devices of two processes, with and without groups that span them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PROGRAM = """
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import multihost_utils

rank, port, fsdp_devices = map(int, sys.argv[1:])
jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=rank)

from ksim.parallel import Placement, ShardMap, environment_keys

REPLICATED, SHARDED = Placement.REPLICATED, Placement.SHARDED
partitioner = ShardMap(jax.devices(), "device", fsdp_devices, fsdp_min_size_mbytes=0)
assert partitioner.num_devices == 4 and len(jax.local_devices()) == 2

# Parameters and environments come back whole, keys among them, in both processes.
kernel = np.arange(32, dtype=np.float32).reshape(8, 4)
parameters = {"kernel": kernel, "bias": np.ones(3, np.float32)}
specs = partitioner.parameter_specs(parameters)
placed = partitioner.place_state(parameters, specs)
whole = partitioner.unreplicate_state(placed)
assert all(np.array_equal(whole[name], value) for name, value in parameters.items())
share = placed["kernel"].addressable_data(0).nbytes / kernel.nbytes
assert share == 1 / fsdp_devices, share
environments = {"id": np.arange(8), "key": jax.random.split(jax.random.key(0), 8)}
sharded = partitioner.shard_environments(environments)
back = partitioner.gather_environments(sharded)
assert back["id"].tolist() == list(range(8))
assert (jax.random.key_data(back["key"]) == jax.random.key_data(environments["key"])).all()

# What is small travels together, whatever its type; what is large, alone.
messages = []
allgather = multihost_utils.process_allgather

def counted(array, **options):
    messages.append(array.nbytes)
    return allgather(array, **options)

multihost_utils.process_allgather = counted
mixed = {
    "flag": np.arange(8) % 3 == 0,
    "key": environments["key"],
    "large": np.arange(2**19, dtype=np.float32).reshape(8, -1),
    "none": np.zeros((8, 0), np.float32),
    "reward": np.linspace(0, 1, 8).astype(np.float32),
    "rounded": jnp.arange(24, dtype=jnp.bfloat16).reshape(8, 3),
    "steps": np.arange(8, dtype=np.int32).reshape(8, 1, 1),
}
back = partitioner.gather_environments(partitioner.shard_environments(mixed))
assert (jax.random.key_data(back.pop("key")) == jax.random.key_data(mixed["key"])).all()
for name, value in back.items():
    assert value.dtype == mixed[name].dtype and np.array_equal(value, mixed[name]), name
assert sorted(messages) == [8 * (1 + 8 + 4 + 6 + 4), 2**21], messages
multihost_utils.process_allgather = allgather

key = partitioner.replicate_state(jax.random.key(3))
assert partitioner.unreplicate_state(key) == jax.random.key(3)

# A gradient is the mean over all devices, and numbers belong to environments.
shards = partitioner.parameter_shards(parameters)

def program(parameters, key, env_id):
    noise = jax.vmap(jax.random.uniform)(environment_keys(key, env_id))

    def loss(parameters):
        return jnp.mean(env_id) * jnp.sum(shards.gather(parameters)["kernel"])

    gradients = shards.average(jax.grad(loss)(parameters))
    axes = "device" if shards.axis_name else partitioner.axis_name
    return lax.pmean(gradients, axes), jnp.stack([noise, -noise])

run = partitioner.partition(program, (specs, REPLICATED, SHARDED), (specs, SHARDED))
gradients, steps = run(placed, key, sharded["id"])
# The mean of 0 ... 7 is 3.5.
assert np.all(partitioner.unreplicate_state(gradients)["kernel"] == 3.5)
expected = [jax.random.uniform(jax.random.fold_in(jax.random.key(3), i)) for i in range(8)]
steps = partitioner.gather_steps(steps)
assert np.array_equal(steps, np.stack([expected, -np.array(expected)])), steps
print("agreed")
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.parametrize("fsdp_devices", [1, 2, 4])
def test_two_processes_are_one_grid(fsdp_devices):
    port = free_port()
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(rank), str(port), str(fsdp_devices)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output
        assert "agreed" in output
