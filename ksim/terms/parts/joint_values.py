"""Resolves numbers for joints, given by name, by pattern or by keyframe."""

from collections.abc import Mapping, Sequence

import numpy as np

from ksim.config import unknown_name_message
from ksim.physics import JointSelection, PhysicsModel, fitting_names

JointValues = float | Mapping[str, float]
"""One number for all joints, or numbers by joint name or pattern, as `{"*_knee": 200.0}`."""

Pose = str | Mapping[str, float] | None
"""Joint positions: the name of a keyframe, or numbers by joint name or pattern (other joints at
their place in `qpos0`), or `None` for `qpos0`, also in a model with keyframes, in the first of
which episodes begin."""


def resolve_joint_values(
    values: JointValues, joints: tuple[str, ...], asked_by: str, argument: str
) -> tuple[float, ...]:
    """Returns one number for each joint.

    A joint's own name goes before a pattern, and an earlier pattern before a later one. In a
    pattern, `*` stands for any letters, as in a shell.

    Args:
      values: a number, or a dictionary that gives a number to every joint.
      joints: the joints' names.
      asked_by: the class that asks, for the error message, as `PositionActuators`.
      argument: the argument that gave the numbers, for the error message, as `kp`.

    Raises:
      KeyError: if a name or pattern fits no joint, or a joint gets no number.
      TypeError: if `values` is not made of numbers.
    """
    if isinstance(values, (str, Sequence, np.ndarray)):
        raise TypeError(
            f"{asked_by}({argument}={values!r}): write one number for all joints, or numbers by"
            f' joint name or pattern: {argument}={{"*_knee": 200.0, "*": 100.0}}.'
        )
    if not isinstance(values, Mapping):
        return (float(values),) * len(joints)
    matches = match_joints(values, joints, asked_by, argument)
    for joint in joints:
        if joint not in matches:
            raise KeyError(
                f'{asked_by}({argument}={{...}}): joint "{joint}" gets no number.'
                f' Add "{joint}": ..., or "*": ... for all other joints.'
            )
    return tuple(matches[joint] for joint in joints)


def resolve_pose(
    model: PhysicsModel, joints: JointSelection, default_positions: Pose, asked_by: str
) -> tuple[float, ...]:
    """Returns the position of each joint in a pose, rad or m.

    Args:
      model: the model, for its keyframes and its own joint positions.
      joints: the joints.
      default_positions: the pose; see `Pose`. Every term calls this argument so.
      asked_by: the class that asks, for the error message.

    Raises:
      KeyError: if there is no such keyframe, or a name or pattern fits no joint.
      TypeError: if `default_positions` is not a pose.
    """
    if not isinstance(default_positions, (str, Mapping, type(None))):
        raise TypeError(
            f"{asked_by}(default_positions={default_positions!r}): write the name of a keyframe, or"
            ' positions by joint name or pattern: default_positions={"*_knee": 0.6}.'
        )
    qpos = model.mj_model.qpos0
    if isinstance(default_positions, str):
        qpos = model.mj_model.key_qpos[model.find("keyframe", default_positions, asked_by)]
    positions = {
        name: float(qpos[qpos_id])
        for name, qpos_id in zip(joints.names, joints.qpos_ids, strict=True)
    }
    if isinstance(default_positions, Mapping):
        positions |= match_joints(default_positions, joints.names, asked_by, "default_positions")
    return tuple(positions.values())


def match_joints(
    values: Mapping[str, float], joints: tuple[str, ...], asked_by: str, argument: str
) -> dict[str, float]:
    """Returns the numbers of the joints that a name or a pattern fits.

    For the arguments and the order of names and patterns see `resolve_joint_values`; joints that
    get no number are left out.

    Raises:
      KeyError: if a name or pattern fits no joint.
    """
    matches: dict[str, float] = {}
    for pattern, value in values.items():
        fitting = fitting_names(pattern, joints)
        if not fitting:
            message = unknown_name_message(pattern, joints, kind="joint")
            raise KeyError(f'{asked_by}({argument}={{"{pattern}": ...}}): {message}')
        for joint in fitting:
            matches.setdefault(joint, float(value))
    matches |= {joint: float(values[joint]) for joint in joints if joint in values}
    return matches
