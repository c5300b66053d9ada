"""Many simulations of native MuJoCo, stepped together by threads."""

from collections.abc import Callable, Collection, Mapping, Sequence

import mujoco
import numpy as np
from mujoco import batch as mujoco_batch

from ksim.physics.engines.base import EpisodeStart
from ksim.physics.engines.native.data import state_bits
from ksim.physics.engines.native.lone_bodies import INERTIAL_FIELDS, SimpleInertias
from ksim.physics.engines.native.shifted_centers import ShiftedCenters
from ksim.physics.model import subtree_membership

POSITIONS_AND_VELOCITIES = int(mujoco.mjtStage.mjSTAGE_VEL)
FAILURES = tuple(
    int(warning)
    for warning in (
        mujoco.mjtWarning.mjWARN_BADQPOS,
        mujoco.mjtWarning.mjWARN_BADQVEL,
        mujoco.mjtWarning.mjWARN_BADQACC,
        mujoco.mjtWarning.mjWARN_BADCTRL,
    )
)
"""Warnings that MuJoCo gives before it resets a simulation by itself."""
COUNT = 1
"""Index of a warning's count in MuJoCo's records of warnings."""


class Simulations:
    """Steps a batch of simulations, with the arrays that it reads and writes."""

    def __init__(
        self,
        mj_model: mujoco.MjModel,
        num_simulations: int,
        num_threads: int,
        fields: Collection[str],
        model_fields: Collection[str],
    ) -> None:
        self._batch = mujoco_batch.Batch(mj_model, num_simulations, num_threads)
        self._arrays = {name: self._batch.bind(name) for name in fields}
        self._qpos, self._qvel, self._ctrl = map(self._batch.bind, ("qpos", "qvel", "ctrl"))
        self._model_fields = {name: self._batch.expand(name) for name in model_fields}
        self._is_mass_alone = "body_mass" in model_fields and "body_subtreemass" not in model_fields
        if self._is_mass_alone:
            # MuJoCo takes a subtree's centre from sums that it made when the model was compiled.
            self._is_in_subtree = subtree_membership(mj_model.body_parentid)
            self._subtree_mass = self._batch.expand("body_subtreemass")
        self._simple = None
        if mj_model.dof_simplenum.any() and set(INERTIAL_FIELDS) & set(model_fields):
            self._simple = SimpleInertias(self._batch, mj_model)
        self._centers = None
        if "body_ipos" in model_fields:
            self._centers = ShiftedCenters(self._batch, mj_model)

    def set_model_fields(self, fields: Mapping[str, np.ndarray]) -> None:
        """Gives every simulation its own model."""
        for name, value in fields.items():
            self._model_fields[name][...] = value
        if self._is_mass_alone:
            self._subtree_mass[...] = self._model_fields["body_mass"] @ self._is_in_subtree
        if self._simple is not None:
            self._simple.follow(self._model_fields)
        if self._centers is not None:
            self._centers.move_boxes(self._model_fields["body_ipos"])

    def set_state(self, state: np.ndarray, written: Mapping[str, np.ndarray]) -> None:
        """Continues from a state, and from fields written since, in single precision."""
        self._batch.state[...] = state
        for name, value in written.items():
            array = self._arrays[name]
            np.copyto(array, value, where=value != array.astype(np.float32))

    def start(self, ids: np.ndarray, default_state: np.ndarray, start: EpisodeStart) -> None:
        """Begins episodes.

        Args:
          ids: the simulations that begin one.
          default_state: the model's default state.
          start: the start of every simulation, also of those that go on.
        """
        self._batch.state[ids] = default_state
        self._qpos[ids] = start.qpos[ids]
        self._qvel[ids] = start.qvel[ids]

    def step(self, is_moving: np.ndarray, ctrl: np.ndarray, num_substeps: int) -> np.ndarray:
        """Steps the moving simulations, and computes positions and velocities in the others.

        Returns:
          The ids of those that MuJoCo rejected.
        """
        batch = self._batch
        np.copyto(self._ctrl, ctrl, where=is_moving[:, None])
        batch.warning[...] = 0
        moving, still = np.flatnonzero(is_moving), np.flatnonzero(~is_moving)
        rejected = [
            *_rejected(moving, batch.step, num_substeps, POSITIONS_AND_VELOCITIES),
            *_rejected(still, batch.forward, POSITIONS_AND_VELOCITIES),
        ]
        rejected.extend(np.flatnonzero(batch.warning[:, FAILURES, COUNT].any(axis=1)))
        return np.array(rejected, int)

    def read(self, state: np.ndarray, fields: Mapping[str, np.ndarray]) -> None:
        """Copies the results: the states' bits, and fields in single precision."""
        state[...] = state_bits(self._batch.state)
        for name, value in fields.items():
            value[...] = self._arrays[name].reshape(value.shape)


def _rejected(ids: np.ndarray, advance: Callable[..., None], *arguments: int) -> Sequence[int]:
    """Advances simulations, if there are any, and returns those that MuJoCo rejected."""
    if ids.size:
        try:
            advance(ids, *arguments)
        except mujoco_batch.SimulationError as error:
            return list(error.ids)
    return ()
