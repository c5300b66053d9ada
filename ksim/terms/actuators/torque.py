"""Motors: the action says how hard the joints should push."""

import dataclasses

import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Float, Key

from ksim.physics import JointSelection, PhysicsData, PhysicsModel
from ksim.terms.actuators.base import Actuators
from ksim.terms.actuators.joint_actuators import (
    find_joint_actuators,
    find_torque_range,
    write_servo,
)
from ksim.terms.parts.checks import Range, check_each
from ksim.terms.parts.joint_values import JointValues, resolve_joint_values
from ksim.terms.parts.lookup import Names
from ksim.terms.term import Carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class TorqueActuators(Actuators):
    """Applies torques to joints.

    torque = action_scale * clip(action, -1, 1), kept within the model's own torque limits.

    Attributes:
      joints: the driven joints, in the order of the action.
      actuator_ids: each joint's actuator.
      action_scale: torque of each joint for an action of 1, N m (N for a slide), > 0.
      torque_ranges: lowest and highest torque of each joint, N m (N); infinite if unlimited.
    """

    joints: JointSelection
    actuator_ids: tuple[int, ...]
    action_scale: tuple[float, ...]
    torque_ranges: tuple[Range, ...]

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        joints: Names | None = None,
        *,
        action_scale: JointValues | None = None,
    ) -> "TorqueActuators":
        """Finds the joints' actuators. Arguments are the attributes, and names instead of ids.

        `joints` are by default all that have an actuator. `action_scale` is one number, or numbers
        by joint name or pattern; `None` stands for the model's torque limits.

        Raises:
          KeyError: if a name does not exist, or a joint has no actuator or gets no number.
          ValueError: if a number is not positive, a joint's actuator is unsuitable, or neither
            `action_scale` nor the model states a torque limit.
        """
        asked_by = cls.__name__
        selection, actuator_ids = find_joint_actuators(model, joints, asked_by)
        torque_ranges = tuple(
            find_torque_range(model.mj_model, actuator_id) for actuator_id in actuator_ids
        )
        if action_scale is None:
            scales = tuple(float(np.max(np.abs(limits))) for limits in torque_ranges)
        else:
            scales = resolve_joint_values(action_scale, selection.names, asked_by, "action_scale")
        return cls(
            joints=selection,
            actuator_ids=actuator_ids,
            action_scale=scales,
            torque_ranges=torque_ranges,
        )

    def __post_init__(self) -> None:
        asked_by = type(self).__name__
        check_each(self.action_scale, asked_by, "action_scale", 100.0)
        for joint, scale in zip(self.joints.names, self.action_scale, strict=True):
            if not np.isfinite(scale):
                raise ValueError(
                    f'{asked_by}: the model states no torque limit for joint "{joint}".'
                    " Write action_scale=100.0, for instance, in N m, or forcerange in the MJCF."
                )

    @property
    def ctrl_ids(self) -> tuple[int, ...]:
        """See `Actuators.ctrl_ids`."""
        return self.actuator_ids

    def configure(self, mj_model: mujoco.MjModel) -> None:
        """Makes the actuators plain motors."""
        for actuator_id, torque_range in zip(self.actuator_ids, self.torque_ranges, strict=True):
            write_servo(mj_model, actuator_id, 1.0, (0.0, 0.0, 0.0), torque_range)

    def __call__(
        self,
        action: Float[Array, "action_size"],
        physics: PhysicsData,
        carry: Carry,
        key: Key[Array, ""],
    ) -> tuple[Float[Array, "controls"], Carry]:
        """Returns the torques, N m or N."""
        del physics, key
        return jnp.clip(action, -1.0, 1.0) * jnp.asarray(self.action_scale, action.dtype), carry
