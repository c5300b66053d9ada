"""Randomized centres of mass, from which MuJoCo derives frames and boxes once."""

import mujoco
import numpy as np
from mujoco import batch as mujoco_batch

_COINCIDENCES = ("body_sameframe", "geom_sameframe", "site_sameframe")
"""Flags of frames that coincided when the model was compiled; MuJoCo computes one of them."""


class ShiftedCenters:
    """Updates what MuJoCo derived from centres of mass when it compiled the model.

    Where the frame of a body or a geom was that of the body's inertia, MuJoCo would ignore that the
    centre moves, or move the geom with it. The boxes in which collisions are looked for are in the
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
        """Moves boxes against the shift of the centres, so that they stay on their bodies.

        Args:
          centers: `[num_simulations, nbody, 3]` the `body_ipos` of each simulation, m.
        """
        offsets = np.einsum("bji,sbj->sbi", self._rotations, centers - self._compiled_centers)
        num_boxes = len(self._body_of_box)
        moved = self._compiled_boxes[:, :num_boxes, :3] - offsets[:, self._body_of_box]
        self._boxes[:, :num_boxes, :3] = moved
