"""Joints that are harder to move."""

import dataclasses

from jaxtyping import Array, Key

from ksim.physics import ModelFields, PhysicsModel
from ksim.terms.parts.checks import Range, check_range
from ksim.terms.parts.lookup import Names
from ksim.terms.randomizers.base import Randomizer, draw_factors, scale_rows
from ksim.terms.term import Carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class _JointRandomizer(Randomizer):
    """Multiplies one property of each joint by a factor of its own.

    Attributes:
      dof_ids: the joints' degrees of freedom.
      scale_range: the factor, >= 0; drawn uniformly for each joint.
    """

    dof_ids: tuple[int, ...]
    scale_range: Range = (0.8, 1.2)

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        joints: Names | None = None,
        *,
        scale_range: Range = (0.8, 1.2),
    ) -> "_JointRandomizer":
        """Finds the joints. Arguments are the attributes, and names instead of ids.

        `joints` are by default all hinges and slides.

        Raises:
          KeyError: if a joint does not exist.
          ValueError: if the range is not in ascending order or begins below 0.
        """
        selection = model.joints.select(joints, cls.__name__)
        return cls(dof_ids=selection.qvel_ids, scale_range=scale_range)

    def __post_init__(self) -> None:
        check_range(self, "scale_range", (0.8, 1.2), at_least=0.0)

    def __call__(
        self, model: ModelFields, carry: Carry, key: Key[Array, ""]
    ) -> tuple[dict[str, Array], Carry]:
        """Returns the field, `[nv]`."""
        (field,) = self.fields
        factors = draw_factors(key, len(self.dof_ids), self.scale_range)
        return {field: scale_rows(model[field], self.dof_ids, factors)}, carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArmatureRandomizer(_JointRandomizer):
    """Multiplies the armature (the rotor's inertia as the joint feels it) of each joint.

    MuJoCo's inverse weights (`dof_invweight0`), which only scale how soft constraints are, stay
    those of the unchanged model.
    """

    @property
    def fields(self) -> tuple[str, ...]:
        """See `Randomizer.fields`."""
        return ("dof_armature",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DampingRandomizer(_JointRandomizer):
    """Multiplies the linear damping of each joint; that of a servo (`kd`) stays.

    Damping by a polynomial keeps its higher coefficients (`dof_dampingpoly`).
    """

    @property
    def fields(self) -> tuple[str, ...]:
        """See `Randomizer.fields`."""
        return ("dof_damping",)
