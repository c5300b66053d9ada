"""What devices say of their free memory."""

import dataclasses

import jax
import pytest

from ksim.parallel import free_bytes, host_free_bytes
from ksim.parallel.devices import memory as memory_module


@dataclasses.dataclass(frozen=True)
class Accelerator:
    """As much of a device as is asked."""

    statistics: dict[str, int] | None
    process_index: int = 0
    platform: str = "gpu"

    def memory_stats(self):
        return self.statistics


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine that says what its files say."""

    def write(available=None, limit=None, used=None):
        if available is not None:
            (tmp_path / "meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable: {available} kB\n")
        if limit is not None:
            (tmp_path / "memory.max").write_text(f"{limit}\n")
            (tmp_path / "memory.current").write_text(f"{used}\n")

    monkeypatch.setattr(memory_module, "_MEMORY_INFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory_module, "_CONTROL_GROUP", tmp_path)
    return write


def test_devices_of_a_cpu_share_its_memory(machine):
    machine(available=1000)
    assert free_bytes(jax.devices()[:4]) == [256_000] * 4  # 1000 * 1024 / 4
    # Two processes of 4 devices each.
    assert free_bytes(jax.devices()[:4], num_processes_on_host=2) == [128_000] * 4


def test_a_control_group_limits_it(machine):
    machine(available=1000, limit=500_000, used=400_000)
    assert host_free_bytes() == 100_000


def test_a_control_group_without_a_limit_does_not(machine):
    machine(available=1000, limit="max", used=400_000)
    assert host_free_bytes() == 1_024_000


def test_this_machine_says_something():
    assert host_free_bytes() > 2**20


def test_an_accelerator_speaks_for_itself():
    devices = [
        Accelerator({"bytes_limit": 1000, "bytes_in_use": 300}),
        Accelerator({"bytes_limit": 1000}),
        Accelerator(None),
        Accelerator({"bytes_limit": 1000}, process_index=1),
    ]
    assert free_bytes(devices) == [700, 1000, None, None]
