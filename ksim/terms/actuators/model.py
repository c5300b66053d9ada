"""Actuators left as the model has them, whatever they are."""

import dataclasses

import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Float, Key

from ksim.physics import PhysicsData, PhysicsModel
from ksim.terms.actuators.base import Actuators
from ksim.terms.parts.checks import Range
from ksim.terms.parts.lookup import Names, find_all
from ksim.terms.term import Carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelActuators(Actuators):
    """Leaves actuators as the MJCF has them: muscles, tendons, servos with a lag, thrusters.

    ctrl = middle + half_width * clip(action, -1, 1), with the middle and half the width of the
    control's `ctrlrange`.

    Attributes:
      control_ids: the driven controls, in the order of the action.
      lower: control of each for an action of -1, in the actuator's unit.
      upper: control of each for an action of 1.
    """

    control_ids: tuple[int, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]

    @classmethod
    def create(cls, model: PhysicsModel, actuators: Names | None = None) -> "ModelActuators":
        """Finds the actuators: `actuators` are their names, `None` stands for all.

        Raises:
          KeyError: if there is no such actuator.
          ValueError: if the model has no actuator, or one has no `ctrlrange`.
        """
        mj_model = model.mj_model
        if not mj_model.nu:
            raise ValueError(
                f"{cls.__name__}: the model has no actuator."
                ' Write <actuator><motor joint="..." ctrlrange="-1 1"/></actuator> in the MJCF.'
            )
        actuator_ids = tuple(range(mj_model.nactuator))
        if actuators is not None:
            actuator_ids = find_all(model, "actuator", actuators, cls.__name__)
        ranges: dict[int, Range] = {}
        for actuator_id in actuator_ids:
            ranges |= _control_ranges(mj_model, actuator_id, cls.__name__)
        lower, upper = zip(*ranges.values(), strict=True)
        return cls(control_ids=tuple(ranges), lower=lower, upper=upper)

    @property
    def ctrl_ids(self) -> tuple[int, ...]:
        """See `Actuators.ctrl_ids`."""
        return self.control_ids

    def __call__(
        self,
        action: Float[Array, "action_size"],
        physics: PhysicsData,
        carry: Carry,
        key: Key[Array, ""],
    ) -> tuple[Float[Array, "controls"], Carry]:
        """Returns the controls, in the actuators' units."""
        del physics, key
        lower, upper = np.array(self.lower), np.array(self.upper)
        middle = jnp.asarray((upper + lower) / 2, action.dtype)
        half_width = jnp.asarray((upper - lower) / 2, action.dtype)
        return middle + half_width * jnp.clip(action, -1.0, 1.0), carry


def _control_ranges(mj_model: mujoco.MjModel, actuator_id: int, asked_by: str) -> dict[int, Range]:
    """Returns the range of each control of an actuator, by the control's id.

    Raises:
      ValueError: if a control has none.
    """
    start = int(mj_model.actuator_ctrladr[actuator_id])
    is_muscle = mj_model.actuator_dyntype[actuator_id] == int(mujoco.mjtDyn.mjDYN_MUSCLE)
    ranges: dict[int, Range] = {}
    for control_id in range(start, start + int(mj_model.actuator_ctrlnum[actuator_id])):
        if mj_model.actuator_ctrllimited[control_id]:
            lower, upper = mj_model.actuator_ctrlrange[control_id].tolist()
            ranges[control_id] = (lower, upper)
        elif is_muscle:
            ranges[control_id] = (0.0, 1.0)  # an excitation: MuJoCo clips it to these
        else:
            name = mj_model.actuator(actuator_id).name or f"actuator {actuator_id}"
            raise ValueError(
                f'{asked_by}(actuator="{name}"): its control has no range for the action to cover.'
                ' Write ctrlrange="-1 1", for instance, in the MJCF.'
            )
    return ranges
