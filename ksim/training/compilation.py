"""Compiling the program of a run, once, where a person can see it."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from ksim.training.program import CompiledProgram
from ksim.training.status import RunStatus


def enable_compilation_cache() -> Path:
    """Keeps compiled programs in the user's private cache directory.

    The directory is `$XDG_CACHE_HOME/ksim/jax`, or `~/.cache/ksim/jax`, for this user alone: a
    compiled program is code. A directory that is configured already (`JAX_COMPILATION_CACHE_DIR`)
    is left as it is.

    Returns:
      The directory.
    """
    configured = jax.config.values["jax_compilation_cache_dir"]
    if configured:
        return Path(configured)
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = root / "ksim" / "jax"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    return directory


@dataclasses.dataclass(frozen=True)
class GatheringRollout:
    """A compiled rollout of a run whose large parameters lie in shards.

    Whole parameters are made before the rollout, by a program of their own, and live as long as it
    lasts: the rollout itself communicates nothing.

    Attributes:
      gather: makes whole parameters of shards.
      rollout: acts with whole parameters.
    """

    gather: Any
    rollout: Any

    def __call__(self, train_state: Any, env_state: Any, request: Any) -> Any:
        """Calls both."""
        return self.rollout(with_model(train_state, self.gather), env_state, request)


def with_model(train_state: Any, function: Callable[[Any], Any]) -> Any:
    """Returns a train state with `function` applied to its model."""
    learner = train_state.learner
    learner = dataclasses.replace(learner, model=function(learner.model))
    return dataclasses.replace(train_state, learner=learner)


def compile_rollout(
    program: CompiledProgram, train_state: Any, env_state: Any, request: Any, status: RunStatus
) -> tuple[Any, Any]:
    """Compiles the rollout ahead of time, naming each phase while it lasts.

    Args:
      program: the partitioned functions.
      train_state: the state, in the partitioner's layout.
      env_state: the environments, likewise.
      request: a rollout request, likewise.
      status: shows the phases.

    Returns:
      The compiled function, which accepts these shapes only, and the shapes that it returns.
    """
    gather = program.gather
    with status.phase("tracing the rollout"):
        if gather is not None:
            gathered = gather.lower(train_state.learner.model)
            train_state = with_model(train_state, lambda _: gathered.out_info)
        lowered = program.rollout.lower(train_state, env_state, request)
    with status.phase("compiling the rollout"):
        rollout = lowered.compile(compiler_options=_rollout_options())
        if gather is not None:
            rollout = GatheringRollout(gathered.compile(), rollout)
        return rollout, lowered.out_info


def _rollout_options() -> dict[str, Any] | None:
    """Returns what XLA is told of the rollout on a CPU: not to call libraries for its operations.

    Physics is a thousand small operations: handed to YNNPACK and XNNPACK one by one they took a
    fifth longer (jax 0.12, 2 devices). The update is a few large products, for which both pay.
    """
    if jax.default_backend() != "cpu":
        return None
    return {"xla_cpu_experimental_ynn_fusion_type": "", "xla_cpu_use_xnnpack": False}


def compile_program(
    program: CompiledProgram, train_state: Any, env_state: Any, request: Any, status: RunStatus
) -> CompiledProgram:
    """Compiles both functions ahead of time; the arguments are those of `compile_rollout`.

    Returns:
      The compiled functions, which accept these shapes only: nothing is compiled later.
    """
    rollout, outputs = compile_rollout(program, train_state, env_state, request, status)
    _, trajectory, statistics = outputs
    with status.phase("tracing the update"):
        lowered = program.update.lower(train_state, trajectory, statistics)
    with status.phase("compiling the update"):
        update = lowered.compile()
    return CompiledProgram(rollout, update)
