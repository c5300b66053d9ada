"""Default state of a model, and the fields that engines give to read."""

import mujoco
import numpy as np
from mujoco import batch as mujoco_batch

from ksim.physics.computed_fields import (
    is_floating,
    not_computed_from_position_and_velocity,
    read_shape,
)

STATE = mujoco.mjtState.mjSTATE_INTEGRATION


class DefaultData:
    """Computes the default state of a model, and the fields that can be read.

    Attributes:
      state: `[size]` its integration state.
      fields: every floating-point field of a fixed size, in single precision.
      is_of_last_substep: by field, a mask of the elements that positions and velocities alone do
        not give: they tell of the last substep's forces and accelerations. Fields without such
        elements are left out.
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
            name: value.astype(np.float32).reshape(read_shape(name, value))
            for name, value in arrays.items()
        }
        self.is_of_last_substep = not_computed_from_position_and_velocity(mj_model, arrays)
