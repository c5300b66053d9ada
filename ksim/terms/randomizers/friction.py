"""Slippery and rough worlds."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ksim.physics import ModelFields, PhysicsModel
from ksim.terms.parts.checks import Range, check_range
from ksim.terms.parts.lookup import Names, find_all
from ksim.terms.randomizers.base import Randomizer, draw_factors
from ksim.terms.term import Carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrictionRandomizer(Randomizer):
    """Multiplies the sliding friction of geoms by one factor.

    One factor for all of them, because a contact takes the larger of its two geoms' frictions:
    independent factors would be drawn higher than asked for. Explicit contact pairs of one of the
    geoms have a friction of their own, which is multiplied by the same factor.

    Attributes:
      geom_ids: the geoms.
      pair_ids: the contact pairs in which they take part.
      scale_range: the factor, >= 0; drawn uniformly.
    """

    geom_ids: tuple[int, ...]
    pair_ids: tuple[int, ...] = ()
    scale_range: Range = (0.5, 1.5)

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        geoms: Names | None = None,
        *,
        scale_range: Range = (0.5, 1.5),
    ) -> "FrictionRandomizer":
        """Finds the geoms. Arguments are the attributes, and names instead of ids.

        `geoms` are by default all.

        Raises:
          KeyError: if there is no such geom.
          ValueError: if the range is not in ascending order or begins below 0.
        """
        mj_model = model.mj_model
        if geoms is None:
            geom_ids = tuple(range(mj_model.ngeom))
        else:
            geom_ids = find_all(model, "geom", geoms, cls.__name__)
        (pairs,) = np.nonzero(
            np.isin(mj_model.pair_geom1, geom_ids) | np.isin(mj_model.pair_geom2, geom_ids)
        )
        return cls(geom_ids=geom_ids, pair_ids=tuple(pairs.tolist()), scale_range=scale_range)

    def __post_init__(self) -> None:
        check_range(self, "scale_range", (0.5, 1.5), at_least=0.0)

    @property
    def fields(self) -> tuple[str, ...]:
        """See `Randomizer.fields`."""
        return ("geom_friction", "pair_friction") if self.pair_ids else ("geom_friction",)

    def __call__(
        self, model: ModelFields, carry: Carry, key: Key[Array, ""]
    ) -> tuple[dict[str, Array], Carry]:
        """Returns `geom_friction` (`[ngeom, 3]`) and `pair_friction` (`[npair, 5]`)."""
        (factor,) = draw_factors(key, 1, self.scale_range)
        geom_friction = _scale(model["geom_friction"], self.geom_ids, 1, factor)
        if not self.pair_ids:
            return {"geom_friction": geom_friction}, carry
        # The first two of a pair's five coefficients are for sliding, one for each direction.
        pair_friction = _scale(model["pair_friction"], self.pair_ids, 2, factor)
        return {"geom_friction": geom_friction, "pair_friction": pair_friction}, carry


def _scale(
    friction: Array, rows: tuple[int, ...], num_columns: int, factor: Float[Array, ""]
) -> Array:
    """Returns `friction` with the first columns of the given rows multiplied."""
    is_scaled = np.zeros(friction.shape, bool)
    is_scaled[np.array(rows, dtype=int), :num_columns] = True
    return jnp.where(is_scaled, factor * friction, friction)
