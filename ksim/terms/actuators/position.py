"""Servos: the action says where the joints should go."""

import dataclasses

import jax.numpy as jnp
import mujoco
from jaxtyping import Array, Float, Key

from ksim.physics import JointSelection, PhysicsData, PhysicsModel
from ksim.terms.actuators.base import Actuators
from ksim.terms.actuators.joint_actuators import (
    find_joint_actuators,
    find_torque_range,
    write_servo,
)
from ksim.terms.parts.checks import Range, check_each
from ksim.terms.parts.joint_values import JointValues, Pose, resolve_joint_values, resolve_pose
from ksim.terms.parts.lookup import Names
from ksim.terms.term import Carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class PositionActuators(Actuators):
    """Drives joints to positions with proportional gain and damping.

    target = default + action_scale * action, kept within the joint's range, and in every physics
    step torque = kp * (target - q) - kd * dq/dt, kept within the torque limit.

    Attributes:
      joints: the driven joints, in the order of the action.
      actuator_ids: each joint's actuator.
      kp: proportional gain of each joint, N m/rad (N/m for a slide), > 0.
      kd: damping of each joint, N m s/rad (N s/m), >= 0.
      torque_ranges: lowest and highest torque of each joint, N m (N).
      action_scale: displacement of each joint for an action of 1, rad (m), > 0.
      default_positions: target of each joint for an action of 0, rad (m).
    """

    joints: JointSelection
    actuator_ids: tuple[int, ...]
    kp: tuple[float, ...]
    kd: tuple[float, ...]
    torque_ranges: tuple[Range, ...]
    action_scale: tuple[float, ...]
    default_positions: tuple[float, ...]

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        joints: Names | None = None,
        *,
        kp: JointValues,
        kd: JointValues,
        torque_limit: JointValues | None = None,
        action_scale: JointValues = 0.5,
        default_positions: Pose = None,
    ) -> "PositionActuators":
        """Finds the joints' actuators. Arguments are the attributes, and names instead of ids.

        `joints` are by default all that have an actuator. Numbers for joints are one number, or a
        dictionary by joint name or pattern, as `{"*_knee": 200.0, "*": 100.0}`. `torque_limit` is
        the largest torque in either direction, N m (N), > 0; `None` keeps the model's limits. For
        `default_positions` see `Pose`.

        Raises:
          KeyError: if a name does not exist, or a joint has no actuator or gets no number.
          ValueError: if a number is out of bounds, a joint's actuator is unsuitable, or no torque
            limit is known.
        """
        asked_by = cls.__name__
        selection, actuator_ids = find_joint_actuators(model, joints, asked_by)
        names = selection.names
        if torque_limit is None:
            torque_ranges = _model_torque_ranges(model, names, actuator_ids, asked_by)
        else:
            limits = resolve_joint_values(torque_limit, names, asked_by, "torque_limit")
            check_each(limits, asked_by, "torque_limit", 100.0)
            torque_ranges = tuple((-limit, limit) for limit in limits)
        return cls(
            joints=selection,
            actuator_ids=actuator_ids,
            kp=resolve_joint_values(kp, names, asked_by, "kp"),
            kd=resolve_joint_values(kd, names, asked_by, "kd"),
            torque_ranges=torque_ranges,
            action_scale=resolve_joint_values(action_scale, names, asked_by, "action_scale"),
            default_positions=resolve_pose(model, selection, default_positions, asked_by),
        )

    def __post_init__(self) -> None:
        asked_by = type(self).__name__
        check_each(self.kp, asked_by, "kp", 100.0)
        check_each(self.kd, asked_by, "kd", 5.0, is_zero_valid=True)
        check_each(self.action_scale, asked_by, "action_scale", 0.5)

    @property
    def ctrl_ids(self) -> tuple[int, ...]:
        """See `Actuators.ctrl_ids`."""
        return self.actuator_ids

    def configure(self, mj_model: mujoco.MjModel) -> None:
        """Writes the servo law into the model."""
        laws = zip(self.actuator_ids, self.kp, self.kd, self.torque_ranges, strict=True)
        for actuator_id, kp, kd, torque_range in laws:
            write_servo(mj_model, actuator_id, kp, (0.0, -kp, -kd), torque_range)

    def __call__(
        self,
        action: Float[Array, "action_size"],
        physics: PhysicsData,
        carry: Carry,
        key: Key[Array, ""],
    ) -> tuple[Float[Array, "controls"], Carry]:
        """Returns the joint positions to go to, rad or m."""
        del physics, key
        scale = jnp.asarray(self.action_scale, action.dtype)
        target = jnp.asarray(self.default_positions, action.dtype) + scale * action
        lower = jnp.asarray(self.joints.lower, action.dtype)
        upper = jnp.asarray(self.joints.upper, action.dtype)
        return jnp.clip(target, lower, upper), carry


def _model_torque_ranges(
    model: PhysicsModel, joints: tuple[str, ...], actuator_ids: tuple[int, ...], asked_by: str
) -> tuple[Range, ...]:
    ranges = tuple(find_torque_range(model.mj_model, actuator_id) for actuator_id in actuator_ids)
    for joint, (lower, upper) in zip(joints, ranges, strict=True):
        if lower == -float("inf") or upper == float("inf"):
            raise ValueError(
                f'{asked_by}: the model states no torque limit for joint "{joint}".'
                " Write torque_limit=100.0, for instance, in N m, or forcerange in the MJCF."
            )
    return ranges
