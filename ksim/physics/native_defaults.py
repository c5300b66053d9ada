"""The default state of a model, and what can be read of it."""

from collections.abc import Collection

import mujoco
import numpy as np
from mujoco import batch as mujoco_batch

from ksim.physics.native_data import is_floating

STATE = mujoco.mjtState.mjSTATE_INTEGRATION
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


class DefaultData:
    """The default state of a model, and what can be read of it.

    Attributes:
      state: `[size]` its integration state.
      fields: every floating-point field of a fixed size, in single precision.
      is_of_last_substep: for some fields, which elements are not computed from positions and
        velocities alone: they tell of the last substep's forces and accelerations.
    """

    def __init__(self, mj_model: mujoco.MjModel) -> None:
        data = mujoco.MjData(mj_model)
        self.state = np.zeros(mujoco.mj_stateSize(mj_model, STATE))
        mujoco.mj_getState(mj_model, data, self.state, STATE)
        # Afterwards: it would leave its accelerations in the state, as the solver's warm start.
        mujoco.mj_forward(mj_model, data)
        arrays = {
            name: value
            for name in sorted(mujoco_batch.DATA_FIELDS)
            if is_floating(value := np.asarray(getattr(data, name)))
            and not name.startswith(("efc_", "iefc_", "ten_J", "flexedge_"))
        }
        self.fields = {
            name: value.astype(np.float32).reshape(_shape(name, value))
            for name, value in arrays.items()
        }
        self.is_of_last_substep = _not_computed_from_position_and_velocity(mj_model, arrays)


def _not_computed_from_position_and_velocity(
    mj_model: mujoco.MjModel, fields: Collection[str]
) -> dict[str, np.ndarray]:
    """Returns which elements of which fields keep a mark that was put there before."""
    mark = 1234.5
    data = mujoco.MjData(mj_model)
    derived = [name for name in fields if name not in STATE_FIELDS]
    for name in derived:
        getattr(data, name)[...] = mark
    mujoco.mj_fwdPosition(mj_model, data)
    mujoco.mj_sensorPos(mj_model, data)
    mujoco.mj_fwdVelocity(mj_model, data)
    mujoco.mj_sensorVel(mj_model, data)
    masks = {}
    for name in derived:
        value = np.asarray(getattr(data, name))
        if (is_marked := value == mark).any():
            masks[name] = is_marked.reshape(_shape(name, value))
    return masks


def _shape(name: str, value: np.ndarray) -> tuple[int, ...]:
    """Returns the shape that `PhysicsData` gives a field: rotation matrices are 3 by 3."""
    is_matrix = name.endswith("mat") and value.shape[-1:] == (9,)
    return (*value.shape[:-1], 3, 3) if is_matrix else value.shape
