"""Finds out which fields of `mjData` MuJoCo computes for a model, and from what."""

from collections.abc import Collection, Iterable
from typing import Any

import mujoco
import numpy as np

_FORCES = '<sensor><force site="..."/></sensor>'
_MOMENTA = '<sensor><subtreelinvel body="..."/><subtreeangmom body="..."/></sensor>'
_NEEDED = {
    "cacc": _FORCES,
    "cfrc_int": _FORCES,
    "cfrc_ext": _FORCES,
    "subtree_linvel": _MOMENTA,
    "subtree_angmom": _MOMENTA,
    "energy": '<option><flag energy="enable"/></option>',
}
"""Lines of an MJCF that make MuJoCo compute a field; without them it is zero."""
_MARK = 1234.5
"""Put into fields to see which of them MuJoCo writes."""

STATE_FIELDS = frozenset(
    {
        "time",
        "qpos",
        "qvel",
        "act",
        "history",
        "qacc_warmstart",
        "ctrl",
        "qfrc_applied",
        "xfrc_applied",
        "eq_active",
        "mocap_pos",
        "mocap_quat",
        "userdata",
        "plugin_state",
    }
)
"""The fields of `mjData` that make up the integration state."""


def check_computed(mj_model: mujoco.MjModel, fields: Iterable[str]) -> None:
    """Raises ValueError if a field that is read would always be zero.

    Args:
      mj_model: the model.
      fields: names of fields of `mjData` that somebody reads.
    """
    read = [name for name in _NEEDED if name in set(fields)]
    if not read:
        return
    data = mujoco.MjData(mj_model)
    for name in read:
        getattr(data, name)[...] = _MARK
    mujoco.mj_forward(mj_model, data)
    has_energy = mj_model.opt.enableflags & int(mujoco.mjtEnableBit.mjENBL_ENERGY)
    for name in read:
        is_left_out = np.all(np.asarray(getattr(data, name)) == _MARK)
        if is_left_out or (name == "energy" and not has_energy):
            raise ValueError(
                f"A term reads physics.{name}, which MuJoCo does not compute for this model: it"
                f" would always be zero. Write {_NEEDED[name]} in the MJCF, and it is computed."
            )


def not_computed_from_position_and_velocity(
    mj_model: mujoco.MjModel, fields: Collection[str]
) -> dict[str, np.ndarray]:
    """Returns masks of elements that do not follow from positions and velocities alone."""
    data = mujoco.MjData(mj_model)
    derived = [name for name in fields if name not in STATE_FIELDS]
    for name in derived:
        getattr(data, name)[...] = _MARK
    mujoco.mj_fwdPosition(mj_model, data)
    mujoco.mj_sensorPos(mj_model, data)
    mujoco.mj_fwdVelocity(mj_model, data)
    mujoco.mj_sensorVel(mj_model, data)
    masks = {}
    for name in derived:
        value = np.asarray(getattr(data, name))
        if (is_marked := value == _MARK).any():
            masks[name] = is_marked.reshape(read_shape(name, value))
    return masks


def read_shape(name: str, value: np.ndarray) -> tuple[int, ...]:
    """Returns the shape that `PhysicsData` gives a field: rotation matrices are 3 by 3."""
    is_matrix = name.endswith("mat") and value.shape[-1:] == (9,)
    return (*value.shape[:-1], 3, 3) if is_matrix else value.shape


def is_floating(value: Any) -> bool:
    """Returns whether `value` is an array of floating-point numbers."""
    return isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating)
