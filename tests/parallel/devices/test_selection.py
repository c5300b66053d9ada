"""Which devices a run uses."""

import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import jax
import pytest

import ksim
from ksim.config import ConfigError
from ksim.parallel import select_devices
from ksim.xla.flags import SIMULATED_DEVICES


def test_all_devices_by_default():
    assert select_devices() == tuple(jax.local_devices())
    assert len(select_devices()) == 8


def test_first_devices_in_order():
    assert select_devices(3) == tuple(jax.local_devices()[:3])
    assert select_devices(8) == tuple(jax.local_devices())


def test_more_devices_than_there_are():
    with pytest.raises(ConfigError) as caught:
        select_devices(9)
    message = str(caught.value)
    assert "num_devices=9, but there are only 8 cpu device(s)." in message
    assert "Write num_devices=8 or leave the option out" in message
    assert f"XLA_FLAGS={SIMULATED_DEVICES}=9" in message


@pytest.mark.parametrize("number", [0, -1])
def test_number_must_be_positive(number):
    with pytest.raises(ConfigError, match=f"num_devices must be at least 1, found {number}"):
        select_devices(number)


def run_python(code, **variables):
    """Runs code in a process of its own, in which JAX has not started."""
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    return subprocess.run(
        [sys.executable, "-c", f"import os\nfrom ksim.parallel import select_devices\n{code}"],
        env=environment | {"JAX_PLATFORMS": "cpu"} | variables,
        cwd=Path(ksim.__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_no_devices_of_the_kind_that_was_asked_for(monkeypatch):
    monkeypatch.setattr(jax, "local_devices", Mock(side_effect=AssertionError))
    with pytest.raises(ConfigError, match=r"JAX_PLATFORMS=.*Write JAX_PLATFORMS=cpu, or unset it"):
        select_devices()


def test_number_makes_simulated_devices():
    code = """
assert [device.id for device in select_devices(3)] == [0, 1, 2]
assert len(select_devices()) == 3 and len(select_devices(2)) == 2
select_devices(4)  # too late: JAX has started
"""
    result = run_python(code)
    assert result.returncode == 1
    assert "num_devices=4, but there are only 3 cpu device(s)" in result.stderr


def test_environment_of_the_user_has_the_last_word():
    code = """
try:
    select_devices(3)
finally:
    assert len(select_devices(2)) == 2 and len(select_devices()) == 2
"""
    result = run_python(code, XLA_FLAGS=f"{SIMULATED_DEVICES}=2")
    assert result.returncode == 1
    assert "num_devices=3, but there are only 2 cpu device(s)" in result.stderr


WHETHER_DIVIDED = """
import jax
import jax.numpy as jnp

compiled = jax.jit(lambda x: jnp.sin(x) * jnp.exp(x)).lower(jnp.ones((1024, 1024))).compile()
print("outer_dimension_partitions" in compiled.as_text())
"""


@pytest.mark.parametrize(
    "num_devices, variables, is_divided",
    [
        (3, {"NPROC": "4"}, True),  # a thread is idle
        (4, {"NPROC": "4"}, False),
        (None, {"NPROC": "4", "XLA_FLAGS": f"{SIMULATED_DEVICES}=4"}, False),
        (2, {"NPROC": "4", "XLA_FLAGS": f"{SIMULATED_DEVICES}=4"}, True),
        (4, {"NPROC": "4", "XLA_FLAGS": "--xla_disable_hlo_passes=dce"}, True),
        (max(2, os.cpu_count() or 1), {"NPROC": ""}, False),
    ],
)
def test_operations_are_divided_only_among_idle_threads(num_devices, variables, is_divided):
    result = run_python(f"select_devices({num_devices})\n{WHETHER_DIVIDED}", **variables)
    assert result.stdout.strip() == str(is_divided), result.stderr


def test_flags_of_a_started_jax_are_left_alone():
    code = """
import jax
jax.devices()
select_devices(1)
assert "XLA_FLAGS" not in os.environ
"""
    assert run_python(code, NPROC="1").returncode == 0


def device_of(process_index, index):
    return Mock(spec=jax.Device, process_index=process_index, id=index, platform="gpu")


def in_processes(monkeypatch, counts):
    """Lets JAX see devices of several processes; this is process 0."""
    devices = [device_of(p, i) for p, count in enumerate(counts) for i in range(count)]
    monkeypatch.setattr(jax, "process_count", lambda: len(counts))
    monkeypatch.setattr(jax, "devices", lambda: devices)
    monkeypatch.setattr(jax, "local_devices", lambda: devices[: counts[0]])


def places(devices):
    return [(device.process_index, device.id) for device in devices]


def test_the_devices_of_all_processes(monkeypatch):
    in_processes(monkeypatch, [2, 2])
    assert places(select_devices()) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert places(select_devices(1)) == [(0, 0), (1, 0)]  # of each process


def test_processes_with_different_numbers_of_devices(monkeypatch):
    in_processes(monkeypatch, [4, 2])
    with pytest.raises(ConfigError) as caught:
        select_devices()
    assert "4 in process 0, 2 in process 1. Write num_devices=2" in str(caught.value)
    assert len(select_devices(2)) == 4
