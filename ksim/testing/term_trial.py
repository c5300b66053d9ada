"""A term under trial: the family that it belongs to, and how it is called."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array, Key

from ksim.terms.actuators.base import Actuators
from ksim.terms.commands.base import Command
from ksim.terms.curricula.base import Curriculum
from ksim.terms.events.base import Event
from ksim.terms.observations.base import Observation
from ksim.terms.randomizers.base import Randomizer
from ksim.terms.resets.base import Reset
from ksim.terms.rewards.base import Reward
from ksim.terms.term import Carry, Memory, RunMemory, Term
from ksim.terms.terminations.base import Termination
from ksim.testing.rules import Trial
from ksim.testing.term_worlds import World

NUM_WORLDS = 3


class Family(NamedTuple):
    """A family of terms.

    Attributes:
      name: as a task's terms have it.
      call: calls a term of the family.
      like: gives what its values have the shapes of, where that does not depend on the term.
    """

    name: str
    call: Callable[[Any, World, Carry, Key[Array, ""]], Any]
    like: Callable[[World], Any] = lambda world: None


FAMILIES: dict[type[Term], Family] = {
    Actuators: Family(
        "actuators",
        lambda term, world, carry, key: term(
            world.state.action[: term.action_size], world.state.physics, carry, key
        ),
    ),
    Command: Family("commands", lambda term, world, carry, key: term(world.state, carry, key)),
    Curriculum: Family("curricula", lambda term, world, carry, key: term(world.progress, carry)),
    Event: Family(
        "events",
        lambda term, world, carry, key: term(world.state, carry, key),
        lambda world: world.state.physics.qvel,
    ),
    Observation: Family(
        "observations", lambda term, world, carry, key: term(world.state, carry, key)
    ),
    Randomizer: Family(
        "randomizers",
        lambda term, world, carry, key: term(world.fields, carry, key),
        lambda world: world.fields,
    ),
    Reset: Family(
        "resets",
        lambda term, world, carry, key: term(world.start, world.state.level, carry, key),
        lambda world: world.start,
    ),
    Reward: Family("rewards", lambda term, world, carry, key: term(world.state, carry)),
    Termination: Family("terminations", lambda term, world, carry, key: term(world.state, carry)),
}


class TermTrial(Trial):
    """A term under trial, and what to call it with.

    Attributes:
      term: the term.
      kind: the contract of its family.
      family: the family.
      worlds: environments to call it in.
      keys: keys of each environment: to begin an episode, for the first call, for the second.
      run_memory: the term's memory of the run.
    """

    worlds: list[World]
    keys: Key[Array, "3 num_worlds"]
    run_memory: RunMemory

    def __init__(self, term: Term) -> None:
        super().__init__(type(term).__name__)
        if not isinstance(term, Term):
            is_class = isinstance(term, type)
            hint = f" Write {term.__name__}(...) instead of the class." if is_class else ""
            raise TypeError(f"check_term tries a term, found {term!r:.80}.{hint}")
        kinds = [kind for kind in FAMILIES if isinstance(term, kind)]
        rule, advice = "a term belongs to one family", "derive from ksim.Reward, for instance."
        found = f"it belongs to {[kind.__name__ for kind in kinds]}"
        self.require(len(kinds) == 1, rule, found, advice, TypeError)
        self.term, self.kind, self.family = term, kinds[0], FAMILIES[kinds[0]]

    def begin(self, memory: Memory, run_memory: RunMemory, key: Key[Array, ""]) -> Carry:
        """Begins an episode, or the run of a curriculum, which has no other memory."""
        if self.kind is Curriculum:
            return self.term.init(key)
        return self.term.begin(memory, run_memory, key)

    def new_carry(self, key: Key[Array, ""]) -> Carry:
        """Returns the carry of a new environment."""
        return self.begin(self.term.init_memory(key), self.run_memory, key)

    def call(self, world: World, carry: Carry, key: Key[Array, ""]) -> Any:
        """Calls the term as its family is called."""
        return self.family.call(self.term, world, carry, key)
