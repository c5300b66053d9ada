"""Bodies with a shifted centre of mass."""

import dataclasses

import jax
import numpy as np
from jaxtyping import Array, Key

from ksim.physics import ModelFields, PhysicsModel
from ksim.terms.parts.checks import check_not_negative
from ksim.terms.parts.lookup import Names, find_all
from ksim.terms.randomizers.base import Randomizer
from ksim.terms.term import Carry
from ksim.xla.rows import replace_rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class CenterOfMassRandomizer(Randomizer):
    """Shifts the centre of mass of each body by an offset of its own; geoms stay in place.

    The inertia about the centre of mass stays. MuJoCo's inverse weights (`body_invweight0`,
    `dof_invweight0`), which only scale how soft constraints are, stay those of the unchanged model.

    Attributes:
      body_ids: the bodies.
      max_offset: largest shift along each axis of the body's frame, m, >= 0; drawn uniformly for
        each axis of each body.
    """

    body_ids: tuple[int, ...]
    max_offset: float = 0.02

    @classmethod
    def create(
        cls, model: PhysicsModel, bodies: Names | None = None, *, max_offset: float = 0.02
    ) -> "CenterOfMassRandomizer":
        """Finds the bodies. Arguments are the attributes, and names instead of ids.

        `bodies` are by default all that can be shifted.

        Raises:
          KeyError: if there is no such body.
          ValueError: if the offset is negative, or MuJoCo takes it for granted that the centre of a
            body is at its origin, as of one that floats or slides with nothing attached to it.
        """
        mj_model = model.mj_model
        movable = np.flatnonzero(mj_model.body_simple[1:] == 0) + 1
        if bodies is None and len(movable):
            return cls(body_ids=tuple(movable.tolist()), max_offset=max_offset)
        names = model.names("body")[1:] if bodies is None else bodies
        body_ids = find_all(model, "body", names, cls.__name__)
        for body_id in body_ids:
            if body_id not in movable:
                name = mj_model.body(body_id).name
                raise ValueError(
                    f'{cls.__name__}(body="{name}"): MuJoCo takes it for granted that the centre of'
                    " mass of this body stays at its origin (body_simple). Move it away a little in"
                    ' the MJCF, as in <inertial pos="0.001 0 0" mass="..." diaginertia="..."/>.'
                )
        return cls(body_ids=body_ids, max_offset=max_offset)

    def __post_init__(self) -> None:
        check_not_negative(self, "max_offset", 0.02)

    @property
    def fields(self) -> tuple[str, ...]:
        """See `Randomizer.fields`."""
        return ("body_ipos",)

    def __call__(
        self, model: ModelFields, carry: Carry, key: Key[Array, ""]
    ) -> tuple[dict[str, Array], Carry]:
        """Returns `body_ipos`, `[nbody, 3]`, m."""
        centers = model["body_ipos"]
        size, limit = (len(self.body_ids), 3), self.max_offset
        offsets = jax.random.uniform(key, size, centers.dtype, minval=-limit, maxval=limit)
        shifted = centers[np.array(self.body_ids, dtype=int)] + offsets
        return {"body_ipos": replace_rows(centers, self.body_ids, shifted)}, carry
