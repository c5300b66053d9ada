"""Chooses and creates the physics engine of the options, and checks that this machine runs it."""

from __future__ import annotations

import ctypes
import importlib.util
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ksim.config import ConfigError

if TYPE_CHECKING:
    import jax

    from ksim.physics import PhysicsEngine, PhysicsModel
    from ksim.task.config import RLConfig

CUDA_DRIVER = "libcuda.so.1"
CUDA_PLATFORMS = ("cuda", "gpu")


def engine_name(option: str, platform: str, is_overlapped: bool = False) -> str:
    """Returns `mjx` or `mujoco`.

    Args:
      option: the option `engine`.
      platform: JAX's name for the devices of the run, such as `cpu`.
      is_overlapped: whether the host acts while the devices learn.
    """
    if option != "auto":
        return option
    return "mujoco" if platform == "cpu" or is_overlapped else "mjx"


def make_engine(
    config: RLConfig, devices: Sequence[jax.Device], physics_model: PhysicsModel
) -> PhysicsEngine:
    """Creates the engine of the options.

    Args:
      config: the options.
      devices: the devices of all processes.
      physics_model: the model to step.

    Raises:
      ConfigError: if the devices of the run cannot run it.
    """
    if config.mjx_impl == "warp":
        from ksim.physics.engines.warp import WarpEngine
        from ksim.physics.engines.warp_functions import WarpFunctions

        check_devices_run_warp(devices, config.mjx_graph_mode)
        return WarpEngine(
            physics_model,
            num_environments=config.num_envs // len(devices),
            naconmax=config.mjx_naconmax,
            njmax=config.mjx_njmax,
            functions=WarpFunctions(config.mjx_graph_mode),
        )
    if engine_name(config.engine, devices[0].platform, config.is_overlapped) == "mjx":
        from ksim.physics.engines.mjx import MjxEngine

        return MjxEngine(physics_model)
    from ksim.physics.engines.native.engine import NativeEngine
    from ksim.xla.threads import usable_cores

    # Where the host acts, it simulates all environments in one call.
    num_callers = 1 if config.is_overlapped else num_devices_on_my_cores(len(devices))
    num_threads = max(1, len(usable_cores()) // num_callers)
    return NativeEngine(physics_model, num_threads)


def num_devices_on_my_cores(num_devices: int) -> int:
    """Returns the number of devices that share the cores of this process.

    Args:
      num_devices: the devices of all processes.
    """
    from ksim.parallel.processes import current_processes

    processes = current_processes()
    of_each = max(1, num_devices // processes.count)  # a device of its own is used by each
    return of_each * len(processes.peers_on_my_cores)


def check_machine_may_run_warp() -> None:
    """Checks, without JAX, that Warp and a driver are there and that no variable excludes CUDA.

    Raises:
      ConfigError: if not, with what to install or to write instead.
    """
    if importlib.util.find_spec("warp") is None:
        raise ConfigError(
            "mjx_impl=warp needs the package warp-lang, which is not installed."
            " Run pip install 'ksim[cuda,warp]', or write mjx_impl=jax."
        )
    platforms = os.environ.get("JAX_PLATFORMS", "")
    if platforms and not any(name in CUDA_PLATFORMS for name in platforms.split(",")):
        raise ConfigError(
            f"mjx_impl=warp runs on NVIDIA GPUs, and JAX_PLATFORMS={platforms} keeps JAX from them."
            " Write JAX_PLATFORMS=cuda, or mjx_impl=jax."
        )
    try:
        ctypes.CDLL(CUDA_DRIVER)
    except OSError as error:
        raise ConfigError(
            f"mjx_impl=warp runs on NVIDIA GPUs, and this machine has no driver of one ({error})."
            " Write mjx_impl=jax."
        ) from None


def check_devices_run_warp(devices: Sequence[jax.Device], graph_mode: str) -> None:
    """Checks that the devices of a run can run Warp.

    Args:
      devices: the devices of all processes.
      graph_mode: the option `mjx_graph_mode`.

    Raises:
      ConfigError: if they are no NVIDIA GPUs, or too many for the mode.
    """
    if not all(_is_cuda(device) for device in devices):
        raise ConfigError(
            f"mjx_impl=warp runs on NVIDIA GPUs, and the devices of this run are"
            f" {devices[0].platform}. Write mjx_impl=jax; or run pip install 'ksim[cuda,warp]',"
            " for a JAX that finds the GPUs."
        )
    if graph_mode == "warp_staged" and len(devices) > 1:
        raise ConfigError(
            f"mjx_graph_mode=warp_staged runs on one GPU, and there are {len(devices)}: it crashes"
            " on several (MuJoCo's issue 3191). Write mjx_graph_mode=warp, or warp_staged_ex."
        )


def _is_cuda(device: jax.Device) -> bool:
    """Returns whether a device is an NVIDIA GPU; AMD's are called `gpu` too."""
    import jax

    try:
        return device in jax.devices("cuda")
    except RuntimeError:  # there are none
        return False
