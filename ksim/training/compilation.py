"""Compiles the program of a run once, and shows it."""

import dataclasses
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from ksim.parallel import Placement
from ksim.reporting.status import RunStatus
from ksim.rl import Algorithm
from ksim.training.program import PartitionedProgram, Program
from ksim.training.train_state import TrainState
from ksim.xla.compiler_options import UPDATE, compile_with
from ksim.xla.threefry import unrolled_threefry


class CompiledProgram(NamedTuple):
    """The compiled functions of a run, in the partitioner's layout.

    Attributes:
      rollout: acts; communicates nothing, unless it has to make whole parameters of shards first.
      update: learns.
    """

    rollout: Any
    update: Any


@dataclasses.dataclass(frozen=True)
class GatheringRollout:
    """A compiled rollout of a run whose large parameters lie in shards.

    Whole parameters are made before the rollout, by a program of their own, and live as long as it
    lasts: the rollout itself communicates nothing.

    Attributes:
      algorithm: says which part of a learner acts.
      gather: makes whole parameters of shards.
      rollout: acts with whole parameters.
    """

    algorithm: Algorithm
    gather: Any
    rollout: Any

    def __call__(self, train_state: Any, env_state: Any, request: Any) -> Any:
        """Calls both."""
        whole = with_acting_part(self.algorithm, train_state, self.gather)
        return self.rollout(whole, env_state, request)


def with_acting_part(
    algorithm: Algorithm, train_state: TrainState, function: Callable[[Any], Any]
) -> TrainState:
    """Returns a train state with `function` applied to the part of its learner that acts."""
    learner = train_state.learner
    part = function(algorithm.acting_part(learner))
    learner = algorithm.with_acting_part(learner, part)
    return dataclasses.replace(train_state, learner=learner)


def compile_rollout(
    program: Program, train_state: Any, env_state: Any, request: Any, status: RunStatus
) -> Any:
    """Compiles the rollout alone, ahead of time; for the arguments see `compile_program`.

    Returns:
      The compiled function, which accepts these shapes only.
    """
    with status.phase("tracing the rollout"):
        rollout = _trace_rollout(
            program.algorithm, program.partitioned(), train_state, env_state, request
        )
    with status.phase("compiling the rollout"):
        return rollout.compile()


def compile_program(
    program: Program,
    train_state: Any,
    env_state: Any,
    request: Any,
    status: RunStatus,
    acting_state: Any = None,
) -> CompiledProgram:
    """Compiles both functions ahead of time, naming each phase while it lasts.

    The rollout is compiled by another thread, while this one traces and compiles the update.

    Args:
      program: the program.
      train_state: the state, or its `placed_shapes`, in the layout of what learns.
      env_state: the environments, in that of what acts.
      request: a rollout request, likewise.
      status: shows the phases.
      acting_state: the train state that acts, likewise; `None` if `train_state` does.

    Returns:
      The compiled functions, which accept these shapes only: nothing is compiled later.
    """
    functions = program.partitioned()
    with status.phase("tracing the rollout"):
        acting_state = train_state if acting_state is None else acting_state
        rollout = _trace_rollout(program.algorithm, functions, acting_state, env_state, request)
    _, *acted = rollout.rollout.out_info
    acted = program.acting.shapes_to_learn_from(program.partitioner, *acted)
    with ThreadPoolExecutor(max_workers=1) as other_thread:
        compiled_rollout = other_thread.submit(rollout.compile)
        with status.phase("tracing the update"), unrolled_threefry():
            memory = program.partitioner.placed_shapes(program.memory_shapes, Placement.SHARDED)
            update = functions.update.lower(train_state, memory, *acted)
        with status.phase("compiling the rollout and the update"):
            options = UPDATE if program.partitioner.devices[0].platform == "cpu" else {}
            compiled_update = compile_with(update, options)
            return CompiledProgram(compiled_rollout.result(), compiled_update)


@dataclasses.dataclass(frozen=True)
class _TracedRollout:
    """A rollout before it is compiled; `gather` is `None` if parameters are whole everywhere."""

    algorithm: Algorithm
    gather: Any
    rollout: Any
    options: Mapping[str, Any]

    def compile(self) -> Any:
        rollout = compile_with(self.rollout, self.options)
        if self.gather is None:
            return rollout
        return GatheringRollout(self.algorithm, self.gather.compile(), rollout)


def _trace_rollout(
    algorithm: Algorithm,
    program: PartitionedProgram,
    train_state: Any,
    env_state: Any,
    request: Any,
) -> _TracedRollout:
    gather = None
    if program.gather is not None:
        gather = program.gather.lower(algorithm.acting_part(train_state.learner))
        whole = gather.out_info
        train_state = with_acting_part(algorithm, train_state, lambda _: whole)
    with unrolled_threefry():
        rollout = program.rollout.lower(train_state, env_state, request)
    return _TracedRollout(algorithm, gather, rollout, program.rollout_options)
