"""Measures brax's PPO on brax's own humanoid. Runs in brax's environment, not in ksim's.

    $(python benchmarks/brax_environment.py) benchmarks/brax_ppo.py --devices 2

One *iteration* is one rollout of `num_envs` environments over `rollout_length` control steps,
followed by `passes * num_minibatches` optimizer steps. brax runs a fixed number of iterations, an
*epoch*, as one compiled program, and times each epoch itself, from the call of that program until
its metrics are ready. The first two epochs are not counted, because both compile: brax's program
is compiled once for the arrays that it starts with and once more for those that it returns.

The last line of stdout is one JSON object; `measure` describes its numbers.
"""

import argparse
import importlib.metadata
import json
import math
import os
import statistics
import time
from dataclasses import asdict, dataclass
from typing import Any

PROCESS_START = time.perf_counter()

EPISODE_LENGTH = 1000
NUM_UNMEASURED_EPOCHS = 2
# Of the measured time, the most that compilation may take before the result is refused.
MAX_COMPILE_FRACTION = 0.01
# brax's published settings for its humanoid, where they do not change the amount of work.
LEARNING = {
    "learning_rate": 3e-4,
    "entropy_cost": 1e-3,
    "discounting": 0.97,
    "reward_scaling": 0.1,
}


@dataclass(frozen=True)
class Settings:
    """Size of the measured training run.

    Attributes:
      devices: simulated CPU devices, among which the environments are divided.
      num_envs: environments over all devices.
      rollout_length: control steps of every environment in one iteration.
      num_minibatches: minibatches in one pass over the rollout, each of whole rollouts.
      passes: passes over the rollout in one iteration.
      hidden: widths of the hidden layers, for the policy and for the value network.
      iterations: measured iterations, over all epochs.
      epochs: measured epochs; two more come first and are not measured.
      seed: seed of the whole run.
    """

    devices: int
    num_envs: int
    rollout_length: int
    num_minibatches: int
    passes: int
    hidden: tuple[int, ...]
    iterations: int
    epochs: int
    seed: int

    def __post_init__(self) -> None:
        """Rejects sizes that brax would refuse late, or round silently."""
        for name, value in asdict(self).items():
            if name != "seed" and min(value if name == "hidden" else (value,), default=0) < 1:
                raise ValueError(f"{name}={value}: must be at least 1.")
        if self.num_envs % (self.devices * self.num_minibatches):
            raise ValueError(
                f"num_envs={self.num_envs} must be divisible by devices * num_minibatches = "
                f"{self.devices * self.num_minibatches}: every device deals its environments to "
                "every minibatch."
            )
        if self.iterations % self.epochs:
            raise ValueError(
                f"iterations={self.iterations} must be divisible by epochs={self.epochs}."
            )

    @property
    def iterations_per_epoch(self) -> int:
        """Iterations in one epoch, the unit that brax compiles and times."""
        return self.iterations // self.epochs

    @property
    def env_steps_per_iteration(self) -> int:
        """Control steps in one iteration, over all environments."""
        return self.num_envs * self.rollout_length


def _widths(text: str) -> tuple[int, ...]:
    """Reads `256,256`."""
    try:
        return tuple(int(width) for width in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write widths as in 256,256.") from None


def parse_arguments(arguments: list[str] | None = None) -> Settings:
    """Reads the settings from the command line.

    Args:
      arguments: the words after the program's name; those of this process if None.

    Returns:
      The checked settings.
    """
    parser = argparse.ArgumentParser(description="Measures brax's PPO on brax's own humanoid.")
    option = parser.add_argument
    option("--devices", type=int, default=1, help="simulated CPU devices")
    option("--num-envs", type=int, default=128, help="environments over all devices")
    option("--rollout-length", type=int, default=20, help="control steps in one rollout")
    option("--num-minibatches", type=int, default=4, help="minibatches in one pass")
    option("--passes", type=int, default=4, help="passes over one rollout")
    option("--hidden", type=_widths, default=(256, 256), help="hidden layer widths, as in 256,256")
    option("--iterations", type=int, default=40, help="measured iterations, over all epochs")
    option("--epochs", type=int, default=5, help="epochs that the iterations are timed in")
    option("--seed", type=int, default=0, help="seed of the run")
    options = vars(parser.parse_args(arguments))
    try:
        return Settings(**options)
    except ValueError as error:
        parser.error(str(error))


def select_devices(count: int) -> None:
    """Makes `count` simulated CPU devices. Call it before JAX is imported."""
    option = "--xla_force_host_platform_device_count"
    flags = [flag for flag in os.environ.get("XLA_FLAGS", "").split() if option not in flag]
    os.environ["XLA_FLAGS"] = " ".join([*flags, f"{option}={count}"])
    os.environ["JAX_PLATFORMS"] = "cpu"


@dataclass(frozen=True)
class Epoch:
    """Speed and times of an epoch, when brax reports its metrics.

    Attributes:
      env_steps_per_second: brax's own `training/sps`: steps of the epoch over its duration.
      end_seconds: time from the start of this process to the metrics, s.
      compile_seconds: time in XLA's compiler since the start of this process, s.
    """

    env_steps_per_second: float
    end_seconds: float
    compile_seconds: float


def train(settings: Settings) -> list[Epoch]:
    """Trains with brax's PPO on brax's humanoid.

    Args:
      settings: the size of the run.

    Returns:
      Every epoch in order, the unmeasured ones first.

    Raises:
      FloatingPointError: if a loss is not finite; such a run measures nothing.
    """
    from functools import partial

    import jax
    from brax import envs
    from brax.training.agents.ppo import networks as ppo_networks
    from brax.training.agents.ppo import train as ppo

    compilations: list[float] = []
    epochs: list[Epoch] = []

    def on_duration(event: str, duration_secs: float, **_: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compilations.append(duration_secs)

    def on_progress(env_steps: int, metrics: dict[str, Any]) -> None:
        end_seconds = time.perf_counter() - PROCESS_START
        epochs.append(Epoch(float(metrics["training/sps"]), end_seconds, sum(compilations)))
        loss = float(metrics["training/total_loss"])
        if not math.isfinite(loss):
            raise FloatingPointError(f"brax's loss is {loss} after {env_steps} environment steps.")

    jax.monitoring.register_event_duration_secs_listener(on_duration)
    num_epochs = NUM_UNMEASURED_EPOCHS + settings.epochs
    ppo.train(
        environment=envs.get_environment("humanoid", backend="mjx"),
        num_timesteps=num_epochs * settings.iterations_per_epoch * settings.env_steps_per_iteration,
        # brax counts an evaluation before the first epoch among them, and does none here.
        num_evals=num_epochs + 1,
        run_evals=False,
        num_envs=settings.num_envs,
        episode_length=EPISODE_LENGTH,
        normalize_observations=True,
        unroll_length=settings.rollout_length,
        # batch_size * num_minibatches = num_envs: exactly one rollout in an iteration.
        batch_size=settings.num_envs // settings.num_minibatches,
        num_minibatches=settings.num_minibatches,
        num_updates_per_batch=settings.passes,
        network_factory=partial(
            ppo_networks.make_ppo_networks,
            policy_hidden_layer_sizes=settings.hidden,
            value_hidden_layer_sizes=settings.hidden,
        ),
        seed=settings.seed,
        progress_fn=on_progress,
        **LEARNING,
    )
    return epochs


def measure(settings: Settings) -> dict[str, Any]:
    """Trains with brax's PPO and returns the measurement.

    Args:
      settings: the size of the run.

    Returns:
      Among others:
      `env_steps_per_second`: control steps over all devices, rollout and update, without
      compilation and evaluation: all steps of the measured epochs over the sum of their durations;
      `env_steps_per_second_median`, `env_steps_per_second_epochs`: the same, epoch by epoch;
      `first_epoch_seconds`: from the start of this process, imports and compilation included, to
      the first training metrics, which brax gives after a whole epoch;
      `first_update_seconds`: the same without the epoch's other iterations, at the measured rate;
      `compile_seconds`: spent in XLA's compiler, over the whole run.

    Raises:
      RuntimeError: if JAX compiled during the measured epochs.
    """
    select_devices(settings.devices)
    import jax

    epochs = train(settings)
    last_unmeasured, measured = epochs[NUM_UNMEASURED_EPOCHS - 1], epochs[NUM_UNMEASURED_EPOCHS:]
    rates = [epoch.env_steps_per_second for epoch in measured]
    rate = statistics.harmonic_mean(rates)  # every epoch has the same number of steps
    iteration_seconds = settings.env_steps_per_iteration / rate
    measured_seconds = settings.iterations * iteration_seconds
    compile_seconds = measured[-1].compile_seconds - last_unmeasured.compile_seconds
    if compile_seconds > MAX_COMPILE_FRACTION * measured_seconds:
        raise RuntimeError(
            f"JAX compiled for {compile_seconds:.1f} s of the {measured_seconds:.1f} s that were "
            "measured: raise NUM_UNMEASURED_EPOCHS."
        )
    first = epochs[0].end_seconds
    return {
        "framework": "brax",
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("brax", "jax", "jaxlib", "flax", "mujoco", "mujoco-mjx")
        },
        "devices": jax.local_device_count(),
        "num_envs": settings.num_envs,
        "env_steps_per_second": rate,
        "env_steps_per_second_median": statistics.median(rates),
        "env_steps_per_second_epochs": rates,
        "measured_seconds": measured_seconds,
        "first_epoch_seconds": first,
        "first_update_seconds": first - (settings.iterations_per_epoch - 1) * iteration_seconds,
        "compile_seconds": measured[-1].compile_seconds,
        "settings": {
            **asdict(settings),
            **LEARNING,
            "episode_length": EPISODE_LENGTH,
            "environment": "brax humanoid, backend mjx",
            "compilation_cache": os.environ.get("JAX_COMPILATION_CACHE_DIR"),
        },
    }


if __name__ == "__main__":
    print(json.dumps(measure(parse_arguments())))
