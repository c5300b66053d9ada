"""Which engine the options give, and who is told that Warp does not run here."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import ksim
from ksim.physics.engines import warp_functions
from ksim.task import engine_choice as engines
from tests.physics.stepwise_mjx import CONTACTS, StepwiseJax
from tests.small_mujoco_task import SmallMujocoConfig, SmallMujocoTask


@pytest.fixture
def machine(monkeypatch):
    """A machine on which nothing that can be known without JAX is in the way."""
    monkeypatch.setenv("JAX_PLATFORMS", "cuda,cpu")
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(engines.ctypes, "CDLL", lambda name: name)
    return monkeypatch


@pytest.fixture
def gpus(machine):
    """The same, and JAX's devices pass for NVIDIA GPUs."""
    machine.setattr(engines, "_is_cuda", lambda device: True)
    return machine


def warp_task(**options):
    return SmallMujocoTask(SmallMujocoConfig(mjx_impl="warp", **options))


def test_warp_is_no_native_mujoco():
    with pytest.raises(ksim.ConfigError, match=r"engine=mujoco is native.*Write engine=mjx"):
        warp_task(engine="mujoco")


def test_without_the_package(machine):
    machine.setattr(engines.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ksim.ConfigError, match=r"pip install 'ksim\[cuda,warp\]'.*mjx_impl=jax"):
        warp_task()


@pytest.mark.parametrize("platforms", ["cpu", "rocm,cpu"])
def test_jax_kept_from_gpus(machine, platforms):
    machine.setenv("JAX_PLATFORMS", platforms)
    with pytest.raises(ksim.ConfigError, match=f"JAX_PLATFORMS={platforms} .*mjx_impl=jax"):
        warp_task()


def test_without_a_driver(machine):
    machine.undo()
    machine.setenv("JAX_PLATFORMS", "")
    machine.setattr(engines.importlib.util, "find_spec", lambda name: name)
    machine.setattr(engines, "CUDA_DRIVER", "libno_such_driver.so.1")
    with pytest.raises(ksim.ConfigError, match=r"no driver of one \(libno_such.*mjx_impl=jax"):
        warp_task()


@pytest.mark.parametrize("engine", ["auto", "mjx"])
def test_devices_that_are_no_gpus(machine, engine):
    task = warp_task(engine=engine, num_devices=1)
    with pytest.raises(ksim.ConfigError, match=r"devices of this run are cpu. Write mjx_impl=jax"):
        task.build()


def test_staged_graphs_are_for_one_gpu(gpus):
    devices = jax.devices()
    for mode in ("warp", "warp_staged_ex"):
        engines.check_devices_run_warp(devices[:2], mode)
    engines.check_devices_run_warp(devices[:1], "warp_staged")
    with pytest.raises(ksim.ConfigError, match=r"there are 2: .*Write mjx_graph_mode=warp,"):
        engines.check_devices_run_warp(devices[:2], "warp_staged")


@pytest.mark.parametrize(
    ("options", "contacts"), [({}, 16 // 2 * CONTACTS), ({"mjx_naconmax": 50}, 50)]
)
def test_room_is_that_of_one_device(gpus, options, contacts):
    functions, modes = StepwiseJax(), []
    gpus.setattr(warp_functions, "WarpFunctions", lambda mode: modes.append(mode) or functions)
    task = warp_task(num_devices=2, num_envs=16, mjx_njmax=11, **options)
    assert isinstance(task.environment.engine, ksim.WarpEngine)
    assert functions.asked_for[-1] == (contacts, 11)
    assert modes == ["warp"]


REFUSED = """
import sys
from examples.walking import HumanoidWalkingConfig, HumanoidWalkingTask
try:
    HumanoidWalkingTask.launch(HumanoidWalkingConfig(), ["mjx_impl=warp"])
except SystemExit as end:
    print(end.code, "jax" in sys.modules)
"""


NATIVE = """
import sys
from tests.small_mujoco_task import SmallMujocoConfig, SmallMujocoTask
import ksim.training.run
SmallMujocoTask(SmallMujocoConfig(engine="mujoco")).build().new_environments(0)
print("mujoco" in sys.modules, "mujoco.mjx" in sys.modules)
"""


def run_python(code, folder):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "JAX_PLATFORMS": "cpu"},
        cwd=folder,
        capture_output=True,
        text=True,
    )


def test_native_physics_does_not_wait_for_the_import_of_mjx(tmp_path):
    finished = run_python(NATIVE, tmp_path)
    assert finished.stdout.split() == ["True", "False"], finished.stderr


def test_refusal_comes_before_jax(tmp_path):
    finished = run_python(REFUSED, tmp_path)
    assert finished.stdout.split() == ["2", "False"], finished.stderr
    assert "mjx_impl=jax" in finished.stderr
    assert not list(tmp_path.iterdir())
