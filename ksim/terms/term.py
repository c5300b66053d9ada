"""The protocol that every term of every family obeys."""

from abc import ABC
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from flax import struct
from jaxtyping import Array, Bool, Float, Int, Key

from ksim.config.names import snake_case
from ksim.physics import PhysicsData

Carry = Any
"""A term's memory of one episode: any pytree of arrays, `()` if it has none."""

Memory = Any
"""A term's memory of one environment, which outlives episodes; `()` if it has none."""

RunMemory = Any
"""A term's memory of the run, the same for all environments; `()` if it has none."""


class Term(ABC):  # noqa: B024 - each family adds its abstract call
    """A small, frozen, final piece of a task.

    A term is a frozen dataclass of plain values (numbers, names, indices), built once from the
    model and closed over by the compiled program. It is called once in every control step, for
    one environment (the training program vmaps it), purely: memory goes in as `carry` and comes
    back beside the value. Each family's `base.py` states what it is called with.

    Memory has three lives, each in every checkpoint:

    - of an episode, the `carry`: made by `begin` (or `init`), updated by every call;
    - of an environment: drawn once by `init_memory`, updated by `after_episode`, and given to
      `begin` of the next episode;
    - of the run: made by `init_run`, the same for all environments, given to `begin` too. After
      every rollout `after_rollout` updates it with sums, over all environments and devices, of
      `contribute` for each episode that ended.
    """

    def init(self, key: Key[Array, ""]) -> Carry:
        """Returns the memory at the start of an episode; `()` for a term without memory."""
        del key
        return ()

    def init_memory(self, key: Key[Array, ""]) -> Memory:
        """Returns the memory of a new environment; `()` by default."""
        del key
        return ()

    def init_run(self, key: Key[Array, ""]) -> RunMemory:
        """Returns the memory of a new run; `()` by default."""
        del key
        return ()

    def begin(self, memory: Memory, run_memory: RunMemory, key: Key[Array, ""]) -> Carry:
        """Returns the carry of a new episode, from memories that outlive it; by default `init`'s.

        Args:
          memory: the memory of the environment.
          run_memory: the memory of the run.
          key: a key for random numbers of the episode.
        """
        del memory, run_memory
        return self.init(key)

    def after_episode(self, memory: Memory, carry: Carry, episode: "EpisodeEnd") -> Memory:
        """Returns the memory of the environment after an episode; unchanged by default."""
        del carry, episode
        return memory

    def contribute(self, memory: Memory, carry: Carry, episode: "EpisodeEnd") -> Any:
        """Returns the numbers that an episode adds to the sums given to `after_rollout`.

        Args:
          memory: the memory of the environment, before `after_episode` updates it.
          carry: the carry at the end of the episode.
          episode: the outcome of the episode.

        Returns:
          A pytree of numbers, always of the same shapes; `()` by default.
        """
        del memory, carry, episode
        return ()

    def after_rollout(
        self, run_memory: RunMemory, sums: Any, progress: "TrainingProgress"
    ) -> RunMemory:
        """Returns the memory of the run after a rollout; unchanged by default.

        Args:
          run_memory: the memory after the last rollout.
          sums: sums of `contribute` over the episodes that ended, in all environments of all
            devices. An episode counts when the next one begins, which is one step after its last.
          progress: statistics of the rollout over all devices.
        """
        del sums, progress
        return run_memory


@struct.dataclass
class StepState:
    """The readings of one environment after a control step: all that a term may look at.

    Attributes:
      physics: the simulation; derived fields are current.
      action: `[action_size]` the action that led here; zeros at the start of an episode.
      previous_action: `[action_size]` the one before.
      commands: what the robot was told to do during the step, by the name of the command.
      time: `[]` seconds since the episode began.
      level: `[]` curriculum level, in [0, 1].
    """

    physics: PhysicsData
    action: Float[Array, "action_size"]
    previous_action: Float[Array, "action_size"]
    commands: dict[str, Array]
    time: Float[Array, ""]
    level: Float[Array, ""]


@struct.dataclass
class EpisodeEnd:
    """Outcome of an episode of one environment.

    Attributes:
      state: the state after its last control step; its time is the length of the episode.
      is_terminated: `[]` true if it failed (or reached its goal).
      is_truncated: `[]` true if it timed out.
      terminations: `[]` flags by name: the reasons for which it ended.
      episode_return: `[]` sum of its rewards.
    """

    state: StepState
    is_terminated: Bool[Array, ""]
    is_truncated: Bool[Array, ""]
    terminations: dict[str, Bool[Array, ""]]
    episode_return: Float[Array, ""]


@struct.dataclass
class TrainingProgress:
    """Statistics of an iteration over all devices.

    Attributes:
      iteration: `[]` iterations finished, this one included.
      num_episodes: `[]` episodes that ended in this iteration.
      mean_episode_length_seconds: `[]` their mean length, s; 0 if none ended.
      mean_episode_return: `[]` their mean return; 0 if none ended.
      terminations: `[]` number of episodes that ended for a reason, by its name.
      mean_level: `[]` mean curriculum level of the environments.
    """

    iteration: Int[Array, ""]
    num_episodes: Float[Array, ""]
    mean_episode_length_seconds: Float[Array, ""]
    mean_episode_return: Float[Array, ""]
    terminations: dict[str, Float[Array, ""]] = struct.field(default_factory=dict)
    mean_level: Float[Array, ""] | float = 0.0


AnyTerm = TypeVar("AnyTerm", bound=Term)


def name_terms(
    terms: Mapping[str, AnyTerm] | Sequence[AnyTerm] | AnyTerm, family: type[Term]
) -> dict[str, AnyTerm]:
    """Returns the terms that a hook gave, as a dictionary.

    Args:
      terms: a dictionary, a list (each term is then named after its class, in snake case and
        without the family's name: `UprightReward` is `upright`), or one term.
      family: the contract that each must fulfil.

    Raises:
      TypeError: if something is not a term of the family.
      ValueError: if two terms of a list are of the same class.
    """
    if isinstance(terms, Term):
        terms = [terms]
    if isinstance(terms, Mapping):
        named = dict(terms)
    else:
        named = {}
        for term in terms:
            kind = term if isinstance(term, type) else type(term)
            name = snake_case(kind.__name__.removesuffix(family.__name__))
            if name in named:
                raise ValueError(
                    f"Two terms are called {name!r} after their class {kind.__name__}."
                    f' Give a dictionary instead of a list: {{"{name}_left": ..., ...}}.'
                )
            named[name] = term
    for name, term in named.items():
        if not isinstance(term, family):
            found, hint = type(term).__name__, ""
            if isinstance(term, type):
                found = f"the class {term.__name__}"
                if issubclass(term, family):
                    hint = f" Write {term.__name__}(...) instead of the class."
            raise TypeError(f"{name!r} must be a {family.__name__}, found {found}.{hint}")
    return named
