"""A run between two iterations, on its devices and in a checkpoint."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from ksim.training.program import Program


@dataclasses.dataclass
class RunState:
    """A run between two iterations.

    In a checkpoint its parts are `train`, `environments` and, if what acts has a state of its own,
    `acting`, and if the algorithm remembers anything, `memory`; each in its global layout, so that
    they move between numbers of devices.

    Attributes:
      train_state: what learns, in the layout of what learns.
      env_state: where the environments are, in the layout of what acts.
      memory: what the algorithm remembers, in the layout of what learns; `()` if nothing.
      acting_state: the train state that acts in the next iteration, in the layout of what acts;
        `None` if that is `train_state`.
      iteration: iterations finished.
    """

    train_state: Any
    env_state: Any
    memory: Any
    acting_state: Any
    iteration: int

    @staticmethod
    def shapes(program: Program) -> dict[str, Any]:
        """Returns shapes and dtypes of the parts, each in its global layout; computes nothing."""
        parts = {"train": program.train_state_shapes, "environments": program.environment_shapes}
        if jax.tree.leaves(program.memory_shapes):
            parts["memory"] = program.memory_shapes
        if program.acting.has_own_state:
            parts["acting"] = program.train_state_shapes
        return parts

    @classmethod
    def place(cls, program: Program, parts: Mapping[str, Any]) -> "RunState":
        """Places whole parts on the devices; without `acting`, the last learned state acts."""
        train_state = parts["train"]
        return cls(
            train_state=program.place_train_state(train_state),
            env_state=program.actor.shard_environments(parts["environments"]),
            memory=program.partitioner.shard_environments(parts.get("memory", ())),
            acting_state=program.acting.place(parts.get("acting", train_state)),
            iteration=int(train_state.iteration),
        )

    def gather(self, program: Program) -> dict[str, Any]:
        """Undoes `place`; all processes must call it together."""
        parts = {
            "train": program.partitioner.unreplicate_state(self.train_state),
            "environments": program.actor.gather_environments(self.env_state),
        }
        if jax.tree.leaves(self.memory):
            parts["memory"] = program.partitioner.gather_environments(self.memory)
        if program.acting.has_own_state:
            parts["acting"] = program.acting.gather(self.acting_state)
        return parts
