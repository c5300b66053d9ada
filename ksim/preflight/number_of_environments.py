"""Measures and chooses the number of environments for the devices of a run."""

import dataclasses
from collections.abc import Callable, Sequence

import jax

from ksim.config import ConfigError
from ksim.parallel import free_bytes
from ksim.preflight.device_fit import in_bytes
from ksim.preflight.program_memory import program_memory
from ksim.preflight.trial import Trial
from ksim.reporting.status import RunStatus
from ksim.training.program import Program
from ksim.xla.compilation_cache import enable_compilation_cache

GROWTH = 4
"""Factor from one size that is tried to the next."""

MAX_SIZES = 5
ENOUGH = 0.9
"""Share of the highest speed that a smaller number of environments must reach."""

MEMORY_SHARE = 0.8
"""Share of a device's free memory that a run may take."""


@dataclasses.dataclass(frozen=True)
class SizeTried:
    """A number of environments, with its memory and its speed.

    Attributes:
      num_envs: environments over all devices.
      bytes_on_device: bytes that the program takes on each device.
      rate: environment steps per second, over all devices; 0 if it was not run.
    """

    num_envs: int
    bytes_on_device: int
    rate: float

    def __str__(self) -> str:
        speed = f"{self.rate:,.0f} steps/s" if self.rate else "not run"
        return (
            f"{self.num_envs} environments: {speed}, {in_bytes(self.bytes_on_device)} on a device"
        )


@dataclasses.dataclass(frozen=True)
class SizeChosen:
    """A number of environments, and the reason for it.

    Attributes:
      num_envs: environments over all devices.
      reason: the reason, in words.
    """

    num_envs: int
    reason: str


def first_size(num_devices: int, num_batches: int, is_cpu: bool) -> int:
    """Returns the smallest number of environments to try.

    A device of a CPU gets 8, an accelerator 64, rounded up so that every minibatch has the same
    number from each device.
    """
    per_batch = -(-(8 if is_cpu else 64) // num_batches)
    return num_devices * num_batches * per_batch


def bytes_per_environment(tried: Sequence[SizeTried], num_devices: int) -> float:
    """Returns the bytes of one more environment on its device: the slope of the last two sizes."""
    before, last = tried[-2:]
    difference = last.bytes_on_device - before.bytes_on_device
    return max(difference * num_devices / (last.num_envs - before.num_envs), 0.0)


def is_worth_trying(
    num_envs: int, tried: Sequence[SizeTried], num_devices: int, free: int | None
) -> bool:
    """Returns whether a larger size may be faster, and probably fits.

    Args:
      num_envs: the size.
      tried: smaller sizes, in order.
      num_devices: devices of the run.
      free: free bytes of the fullest device; `None` if unknown.
    """
    if len(tried) < 2:
        return True
    if tried[-1].rate < tried[-2].rate / ENOUGH:
        return False
    if free is None:
        return True
    more = (num_envs - tried[-1].num_envs) / num_devices
    expected = tried[-1].bytes_on_device + more * bytes_per_environment(tried, num_devices)
    return expected <= MEMORY_SHARE * free


def choose(tried: Sequence[SizeTried], free: int | None, num_devices: int) -> SizeChosen:
    """Returns the smallest size that fits and is nearly as fast as the fastest that fits.

    Args:
      tried: sizes as measured, in order.
      free: free bytes of the fullest device; `None` if unknown.
      num_devices: devices of the run.

    Raises:
      ConfigError: if not even the smallest one fits.
    """
    fitting = [
        size for size in tried if free is None or size.bytes_on_device <= MEMORY_SHARE * free
    ]
    if not fitting:
        raise ConfigError(
            f"num_envs=auto: {tried[0]}, and there are {in_bytes(free or 0)}. Write a smaller"
            " rollout_length_seconds or smaller networks."
        )
    fastest = max(fitting, key=lambda size: size.rate)
    chosen = next(size for size in fitting if size.rate >= ENOUGH * fastest.rate)
    text = f"chosen by num_envs=auto. Tried: {'; '.join(map(str, tried))}."
    if len(tried) > 1:
        text += f" One more takes {in_bytes(bytes_per_environment(tried, num_devices))} on its"
        text += " device."
    text += f" The smallest within {1 - ENOUGH:.0%} of the fastest that fits is taken."
    return SizeChosen(chosen.num_envs, text)


def choose_num_envs(
    build: Callable[[int], Program],
    devices: Sequence[jax.Device],
    num_batches: int,
    seed: int,
    is_cached: bool,
) -> SizeChosen:
    """Tries growing numbers of environments on the devices of a run, and chooses one.

    Every size is compiled, and runs four iterations. Sizes grow by `GROWTH` while that pays and
    fits into memory.

    Args:
      build: builds the program for a number of environments.
      devices: the devices of the run.
      num_batches: minibatches in a pass.
      seed: seed of the run.
      is_cached: whether compiled programs are kept.

    Raises:
      ConfigError: if not even the smallest number fits into memory.
    """
    if is_cached:
        enable_compilation_cache()
    num_devices = len(devices)
    left = [number for number in free_bytes(devices) if number is not None]
    free = min(left, default=None)
    tried: list[SizeTried] = []
    num_envs = first_size(num_devices, num_batches, devices[0].platform == "cpu")
    while len(tried) < MAX_SIZES and is_worth_trying(num_envs, tried, num_devices, free):
        with RunStatus() as status:
            status.message(f"num_envs=auto: trying {num_envs} environments")
            trial = Trial.compile(build(num_envs), seed, status)
            memory = program_memory(
                trial.compiled, trial.train_state, trial.env_state, trial.memory
            )
            rate = 0.0
            is_fitting = free is None or memory.peak <= MEMORY_SHARE * free
            if is_fitting:
                with status.phase("running a trial"):
                    rate = trial.run(num_iterations=3).rate
        tried.append(SizeTried(num_envs, memory.peak, rate))
        if not is_fitting:
            break
        num_envs *= GROWTH
    return choose(tried, free, num_devices)
