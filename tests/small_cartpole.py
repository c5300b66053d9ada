"""The cart-pole example, so small that it compiles in seconds, and a way to drive it by hand."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from examples.cartpole import CartPoleConfig, CartPoleTask
from ksim.reporting.status import RunStatus
from ksim.training.compilation import CompiledProgram, compile_program
from ksim.training.program import TRAIN, Program, RolloutRequest
from ksim.xla.compilation_cache import enable_compilation_cache

# Both also for the command line: one compiled program, cached, then serves several tests.
SMALL = {
    "num_envs": 16,
    "batch_size": 8,
    "rollout_length_frames": 16,
    "num_passes": 2,
    "hidden_sizes": (16,),
    "learning_rate_schedule": "constant",
    "eval_length_seconds": 0.32,
}
SMALL_ARGUMENTS = [
    f"{name}={list(value) if isinstance(value, tuple) else value}" for name, value in SMALL.items()
]


def small_config(**changes: Any) -> CartPoleConfig:
    return CartPoleConfig(**(SMALL | changes))


def small_task(**changes: Any) -> CartPoleTask:
    return CartPoleTask(small_config(**changes))


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def tensorboard_scalars(folder: Path) -> list[tuple[str, int, float]]:
    """Tag, step and value of every scalar in the event files of a folder."""
    from tensorboardX.proto.event_pb2 import Event

    scalars = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        while content:  # length (8 bytes), its checksum (4), the event, its checksum (4)
            length = int.from_bytes(content[:8], "little")
            event = Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            scalars += [(one.tag, event.step, one.simple_value) for one in event.summary.value]
    return scalars


def without_times(metrics: dict[str, Any]) -> dict[str, Any]:
    """Leaves out what depends on the machine, and on how many devices it has."""
    slow = ("wall_seconds", "throughput/", "time/", "communication/")
    return {name: value for name, value in metrics.items() if not name.startswith(slow)}


def request(program: Program, iteration: int, is_deterministic: bool = False, stream: int = TRAIN):
    """Asks for a rollout, in the partitioner's layout."""
    return program.partitioner.replicate_state(
        RolloutRequest(np.bool_(is_deterministic), np.int32(stream), np.int32(iteration))
    )


def initial_states(program: Program, seed: int = 0) -> tuple[Any, Any]:
    """The train state and the environments of a new run, in the partitioner's layout."""
    partitioner = program.partitioner
    return (
        program.place_train_state(program.initial_train_state(seed)),
        partitioner.shard_environments(program.new_environments(seed)),
    )


def compiled_program(program: Program) -> CompiledProgram:
    """Compiles both functions, once, as the training loop does."""
    enable_compilation_cache()
    return compile_program(program, *initial_states(program), request(program, 0), RunStatus())


def iterate(
    program: Program, compiled: CompiledProgram, num_iterations: int
) -> Iterator[tuple[Any, dict[str, float]]]:
    """Acts and learns; gives the train state, in its layout, and the metrics of each update."""
    train_state, env_state = initial_states(program)
    memory = program.partitioner.shard_environments(program.new_memory())
    for iteration in range(num_iterations):
        env_state, trajectory, statistics = compiled.rollout(
            train_state, env_state, request(program, iteration)
        )
        train_state, memory, metrics = compiled.update(train_state, memory, trajectory, statistics)
        values = program.partitioner.unreplicate_state(metrics)
        yield train_state, {name: float(value) for name, value in values.items()}


def numbers(tree: Any) -> dict[str, np.ndarray]:
    """Every leaf by its path; of typed keys, their words."""
    return {
        jax.tree_util.keystr(path): np.asarray(
            jax.random.key_data(leaf)
            if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            else leaf
        )
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
