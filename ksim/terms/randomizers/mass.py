"""Lighter and heavier bodies."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Key

from ksim.physics import ModelFields, PhysicsModel
from ksim.physics.model import subtree_membership
from ksim.terms.parts.checks import Range, check_range
from ksim.terms.parts.lookup import Names, find_all
from ksim.terms.randomizers.base import Randomizer, draw_factors, scale_rows
from ksim.terms.term import Carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class MassRandomizer(Randomizer):
    """Multiplies the mass and the inertia of each body by a factor of its own.

    The masses of subtrees, from which centres of mass are computed, follow. MuJoCo's inverse
    weights (`body_invweight0`, `dof_invweight0`), which only scale how soft constraints are, stay
    those of the unchanged model.

    Attributes:
      body_ids: the bodies.
      parent_ids: `[nbody]` the parent of every body of the model.
      scale_range: the factor, > 0; drawn uniformly for each body.
    """

    body_ids: tuple[int, ...]
    parent_ids: tuple[int, ...]
    scale_range: Range = (0.8, 1.2)

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        bodies: Names | None = None,
        *,
        scale_range: Range = (0.8, 1.2),
    ) -> "MassRandomizer":
        """Finds the bodies. Arguments are the attributes, and names instead of ids.

        `bodies` are by default all.

        Raises:
          KeyError: if there is no such body.
          ValueError: if the range is not in ascending order or does not begin above 0.
        """
        if bodies is None:
            body_ids = tuple(range(1, model.mj_model.nbody))
        else:
            body_ids = find_all(model, "body", bodies, cls.__name__)
        parent_ids = tuple(model.mj_model.body_parentid.tolist())
        return cls(body_ids=body_ids, parent_ids=parent_ids, scale_range=scale_range)

    def __post_init__(self) -> None:
        check_range(self, "scale_range", (0.8, 1.2), at_least=1e-3)

    @property
    def fields(self) -> tuple[str, ...]:
        """See `Randomizer.fields`."""
        return ("body_mass", "body_inertia", "body_subtreemass")

    def __call__(
        self, model: ModelFields, carry: Carry, key: Key[Array, ""]
    ) -> tuple[dict[str, Array], Carry]:
        """Returns `body_mass`, `body_subtreemass` (`[nbody]`) and `body_inertia` (`[nbody, 3]`)."""
        factors = draw_factors(key, len(self.body_ids), self.scale_range)
        masses = scale_rows(model["body_mass"], self.body_ids, factors)
        is_in_subtree = subtree_membership(self.parent_ids).T > 0
        subtree_masses = jnp.sum(jnp.where(is_in_subtree, masses[None, :], 0.0), axis=1)
        return {
            "body_mass": masses,
            "body_inertia": scale_rows(model["body_inertia"], self.body_ids, factors),
            "body_subtreemass": subtree_masses,
        }, carry
