"""Centres of mass that differ between simulations of native MuJoCo."""

import mujoco
import numpy as np
from mujoco import batch as mujoco_batch

_COINCIDENCES = ("body_sameframe", "geom_sameframe", "site_sameframe")
"""Which frames coincided when the model was compiled; MuJoCo then computes one of them."""


class ShiftedCenters:
    """Keeps right what MuJoCo derived from centres of mass when it compiled the model.

    Where the frame of a body or a geom was that of the body's inertia, MuJoCo would not see that a
    centre moves, or move the geom with it. The boxes that collisions are looked for in stand in the
    frame of the inertia, and would move too. Inverse weights stay, as with other engines.
    """

    def __init__(self, batch: mujoco_batch.Batch, mj_model: mujoco.MjModel) -> None:
        for name in _COINCIDENCES:
            batch.expand(name)[...] = int(mujoco.mjtSameFrame.mjSAMEFRAME_NONE)
        self._boxes = batch.expand("bvh_aabb")
        self._compiled_boxes = self._boxes.copy()
        self._compiled_centers = mj_model.body_ipos.copy()
        bodies = np.arange(mj_model.nbody)
        self._body_of_box = np.repeat(bodies, mj_model.body_bvhnum)
        rotations = np.zeros((mj_model.nbody, 9))
        for rotation, quaternion in zip(rotations, mj_model.body_iquat, strict=True):
            mujoco.mju_quat2Mat(rotation, quaternion)
        self._rotations = rotations.reshape(-1, 3, 3)

    def move_boxes(self, centers: np.ndarray) -> None:
        """Leaves boxes where they are on their bodies.

        Args:
          centers: `[num_simulations, nbody, 3]` the `body_ipos` of each simulation, m.
        """
        offsets = np.einsum("bji,sbj->sbi", self._rotations, centers - self._compiled_centers)
        num_boxes = len(self._body_of_box)
        moved = self._compiled_boxes[:, :num_boxes, :3] - offsets[:, self._body_of_box]
        self._boxes[:, :num_boxes, :3] = moved
