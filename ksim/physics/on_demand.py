"""Fields of `mjData` that MuJoCo computes only where something in the model needs them."""

from collections.abc import Iterable

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
"""What makes MuJoCo compute a field that would be zero otherwise."""
_MARK = 1234.5


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
