"""Finds the actuators of joints and their torque limits, and writes servo laws into the model."""

import mujoco
import numpy as np

from ksim.config import unknown_name_message
from ksim.physics import JointSelection, PhysicsModel
from ksim.terms.parts.checks import Range
from ksim.terms.parts.lookup import Names

_JOINT_TRANSMISSIONS = (mujoco.mjtTrn.mjTRN_JOINT, mujoco.mjtTrn.mjTRN_JOINTINPARENT)


def find_joint_actuators(
    model: PhysicsModel, joints: Names | None, asked_by: str
) -> tuple[JointSelection, tuple[int, ...]]:
    """Finds the one actuator of each joint.

    Args:
      model: the model.
      joints: names of joints; `None` selects all actuated ones, in the actuators' order.
      asked_by: the class that asks, for error messages.

    Returns:
      The joints, and the id of each one's actuator.

    Raises:
      KeyError: if a joint does not exist or has no actuator.
      ValueError: if no joint has an actuator, or a joint has one that ksim cannot configure: with
        an activation state, or beside another one.
    """
    if model.mj_model.nu != model.mj_model.nactuator:
        raise ValueError(
            f"{asked_by}: the model has an actuator with more or less than one control."
            " Write ModelActuators.create(physics_model) in get_actuators."
        )
    actuators = _actuators_by_joint(model)
    if not actuators:
        raise ValueError(
            f"{asked_by}: the model has no actuator on a hinge or slide joint. Write"
            ' <actuator><motor joint="..."/></actuator> in the MJCF, or leave actuators of another'
            " kind as they are with ModelActuators.create(physics_model) in get_actuators."
        )
    selection = model.joints.select(tuple(actuators) if joints is None else joints, asked_by)
    for joint in selection.names:
        if joint not in actuators:
            message = unknown_name_message(joint, actuators, kind="actuated joint")
            raise KeyError(f'{asked_by}(joint="{joint}"): {message}')
        _check_actuators(model.mj_model, joint, actuators[joint], asked_by)
    return selection, tuple(actuators[joint][0] for joint in selection.names)


def find_torque_range(mj_model: mujoco.MjModel, actuator_id: int) -> Range:
    """Returns the lowest and the highest torque that a model lets an actuator exert, N m or N.

    The narrowest of the actuator's `forcerange` times its gear, the joint's `actuatorfrcrange` and,
    for a plain motor, the `ctrlrange` times the motor's gain and gear; infinite if the model states
    none of them.
    """
    joint_id = mj_model.actuator_trnid[actuator_id, 0]
    gear = mj_model.actuator_gear[actuator_id, 0]
    ranges = []
    if mj_model.actuator_forcelimited[actuator_id]:
        ranges.append(np.sort(gear * mj_model.actuator_forcerange[actuator_id]))
    if mj_model.jnt_actfrclimited[joint_id]:
        ranges.append(mj_model.jnt_actfrcrange[joint_id])
    is_motor = (
        mj_model.actuator_gaintype[actuator_id] == mujoco.mjtGain.mjGAIN_FIXED
        and mj_model.actuator_biastype[actuator_id] == mujoco.mjtBias.mjBIAS_NONE
    )
    if is_motor and mj_model.actuator_ctrllimited[actuator_id]:
        gain = gear * mj_model.actuator_gainprm[actuator_id, 0]
        ranges.append(np.sort(gain * mj_model.actuator_ctrlrange[actuator_id]))
    lower = max((float(low) for low, _ in ranges), default=-np.inf)
    upper = min((float(high) for _, high in ranges), default=np.inf)
    return lower, upper


def write_servo(
    mj_model: mujoco.MjModel,
    actuator_id: int,
    gain: float,
    bias: tuple[float, float, float],
    torque_range: Range,
) -> None:
    """Writes a linear force law of a joint into a compiled model, in place.

    torque = gain * ctrl + bias[0] + bias[1] * position + bias[2] * velocity, kept within
    `torque_range`; the control itself is not limited. The actuator keeps its gear g: MuJoCo feeds
    the law with g times the joint's position, and moves the joint with g times the law's force.
    """
    gear = float(mj_model.actuator_gear[actuator_id, 0])
    gain, constant = gain / gear, bias[0] / gear
    bias = (constant, bias[1] / gear**2, bias[2] / gear**2)
    mj_model.actuator_gaintype[actuator_id] = mujoco.mjtGain.mjGAIN_FIXED
    mj_model.actuator_gainprm[actuator_id] = 0.0
    mj_model.actuator_gainprm[actuator_id, 0] = gain
    is_biased = any(bias)
    mj_model.actuator_biastype[actuator_id] = (
        mujoco.mjtBias.mjBIAS_AFFINE if is_biased else mujoco.mjtBias.mjBIAS_NONE
    )
    mj_model.actuator_biasprm[actuator_id] = 0.0
    mj_model.actuator_biasprm[actuator_id, :3] = bias
    mj_model.actuator_ctrllimited[actuator_id] = False
    is_limited = bool(np.isfinite(torque_range).all())
    mj_model.actuator_forcelimited[actuator_id] = is_limited
    if is_limited:
        mj_model.actuator_forcerange[actuator_id] = np.sort(np.array(torque_range) / gear)


def _actuators_by_joint(model: PhysicsModel) -> dict[str, list[int]]:
    """Returns the actuators of each hinge or slide joint that has any."""
    everything = model.joints.select()
    name_of = dict(zip(everything.qvel_ids, everything.names, strict=True))
    actuators: dict[str, list[int]] = {}
    for actuator_id in range(model.mj_model.nu):
        transmission = mujoco.mjtTrn(model.mj_model.actuator_trntype[actuator_id])
        if transmission in _JOINT_TRANSMISSIONS:
            joint_id = model.mj_model.actuator_trnid[actuator_id, 0]
            dof = int(model.mj_model.jnt_dofadr[joint_id])
            if dof in name_of:
                actuators.setdefault(name_of[dof], []).append(actuator_id)
    return actuators


def _check_actuators(
    mj_model: mujoco.MjModel, joint: str, actuator_ids: list[int], asked_by: str
) -> None:
    asked = f'{asked_by}(joint="{joint}")'
    if len(actuator_ids) > 1:
        names = [mj_model.actuator(actuator_id).name or "unnamed" for actuator_id in actuator_ids]
        raise ValueError(
            f"{asked}: the joint has {len(names)} actuators ({', '.join(names)})."
            " Leave one of them in the MJCF, or leave the actuators as they are with"
            " ModelActuators.create(physics_model) in get_actuators."
        )
    if not mj_model.actuator_gear[actuator_ids[0], 0]:
        raise ValueError(f'{asked}: the actuator has gear 0. Write gear="1" in the MJCF.')
    if mj_model.actuator_dyntype[actuator_ids[0]] != mujoco.mjtDyn.mjDYN_NONE:
        raise ValueError(
            f"{asked}: the actuator has an activation state (dyntype), which ksim does not write."
            f' Write <motor joint="{joint}"/> in the MJCF, or leave the actuators as they are with'
            " ModelActuators.create(physics_model) in get_actuators."
        )
