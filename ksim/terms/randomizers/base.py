"""The contract of physics randomizers."""

from abc import abstractmethod

from jaxtyping import Array, Key

from ksim.physics import ModelFields
from ksim.terms.term import Carry, Term


class Randomizer(Term):
    """Draws physical properties of the robot or the world, another draw for every episode."""

    @property
    @abstractmethod
    def fields(self) -> tuple[str, ...]:
        """The model fields that it changes, by MuJoCo's names."""

    @abstractmethod
    def __call__(
        self, model: ModelFields, carry: Carry, key: Key[Array, ""]
    ) -> tuple[dict[str, Array], Carry]:
        """Returns new values for `fields`.

        Args:
          model: the values of all randomized fields so far, by name; a randomizer changes what it
            finds, so that several compose in their order.
          carry: its memory.
          key: the key of this episode's draw.
        """
