import os

import pytest

from ksim.xla.flags import (
    COLLECTIVE_TIMEOUT,
    DISABLED_PASSES,
    SIMULATED_DEVICES,
    given_simulated_devices,
    set_default_flag,
)
from tests.xla.subprocesses import run_python


def test_xla_knows_every_flag():
    """One that it does not know would end the process."""
    flags = f"{SIMULATED_DEVICES}=3 {DISABLED_PASSES}=dce {COLLECTIVE_TIMEOUT}=7"
    printed, _ = run_python("import jax; print(jax.device_count())", XLA_FLAGS=flags)
    assert printed.strip() == "3"


@pytest.mark.parametrize(
    "before, after", [("", "--a=1"), ("--b=2", "--b=2 --a=1"), ("--a=5", "--a=5")]
)
def test_the_user_has_the_last_word(monkeypatch, before, after):
    monkeypatch.setenv("XLA_FLAGS", before)
    set_default_flag("--a", 1)
    assert os.environ["XLA_FLAGS"] == after


def test_simulated_devices_that_the_user_asks_for(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", f"--a=1 {SIMULATED_DEVICES}=12 --b=2")
    assert given_simulated_devices() == 12
    monkeypatch.delenv("XLA_FLAGS")
    assert given_simulated_devices() is None
