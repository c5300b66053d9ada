"""Native MuJoCo on the host's cores, as JAX sees it: a pure function."""

import logging
import os
import queue
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jax.experimental.buffer_callback import buffer_callback
from jaxtyping import Array, Bool, Float
from mujoco import batch as mujoco_batch

from ksim.config import unknown_name_message
from ksim.physics.data import PhysicsData
from ksim.physics.engine import EpisodeStart, ModelFields, PhysicsEngine
from ksim.physics.model import PhysicsModel
from ksim.physics.native_data import NativeData

STATE = mujoco.mjtState.mjSTATE_INTEGRATION
POSITIONS_AND_VELOCITIES = int(mujoco.mjtStage.mjSTAGE_VEL)
ALWAYS_READ = ("time", "qpos", "qvel", "ctrl")
WRITABLE = ("qpos", "qvel", "qfrc_applied", "xfrc_applied", "mocap_pos", "mocap_quat")
"""State fields that an event may replace between two steps."""
FAILURES = tuple(
    int(warning)
    for warning in (
        mujoco.mjtWarning.mjWARN_BADQPOS,
        mujoco.mjtWarning.mjWARN_BADQVEL,
        mujoco.mjtWarning.mjWARN_BADQACC,
        mujoco.mjtWarning.mjWARN_BADCTRL,
    )
)
"""What MuJoCo warns of before it resets a simulation by itself."""
COUNT = 1
"""Where a warning of MuJoCo's keeps how often it was given."""


class NativeEngine(PhysicsEngine):
    """MuJoCo's own C engine, stepping many simulations on the threads of the host.

    JAX hands over the state of all simulations of a device in one call, and gets it back with the
    derived fields: nothing is remembered between two calls. The state travels in double precision.
    A simulation that MuJoCo rejects comes back with positions and velocities that are not numbers;
    the others do not notice.
    """

    def __init__(
        self,
        model: PhysicsModel,
        num_threads: int | None = None,
        fields: Collection[str] | None = None,
    ) -> None:
        """Prepares the simulations; computes nothing.

        Args:
          model: the model.
          num_threads: threads for the simulations of one device; `None` takes every core.
          fields: the fields of `mjData` that are read; `None` for all that have a fixed size.

        Raises:
          KeyError: if a field is none of those.
        """
        self._model = model
        self._num_threads = num_threads or num_host_cores()
        default = _DefaultData(model.mj_model)
        known = default.fields
        for name in fields or ():
            if name not in known:
                message = unknown_name_message(name, known, kind="field", place="in mjData")
                raise KeyError(f'NativeEngine(fields="{name}"): {message}')
        names = known if fields is None else {*ALWAYS_READ, *fields}
        self._initial_data = NativeData(  # type: ignore[abstract]
            state=_bits(default.state), fields={name: known[name] for name in sorted(names)}
        )
        self._default_state = default.state
        self._is_of_last_substep = {
            name: mask for name, mask in default.is_of_last_substep.items() if name in names
        }
        if mujoco.get_mju_user_warning() is None:
            # By default MuJoCo writes a file into the working folder, for every warning.
            mujoco.set_mju_user_warning(logging.getLogger(__name__).debug)
        # Devices call at the same time, and a batch serves one call at a time.
        self._idle: dict[Any, queue.LifoQueue[_Simulations]] = defaultdict(queue.LifoQueue)

    @property
    def description(self) -> str:
        """See `PhysicsEngine.description`."""
        return f"native MuJoCo on the host, {self._num_threads} thread(s) for a device"

    def reading(self, fields: Collection[str]) -> "NativeEngine":
        """See `PhysicsEngine.reading`."""
        return NativeEngine(self._model, self._num_threads, fields)

    def initial_data(self) -> PhysicsData:
        """See `PhysicsEngine.initial_data`."""
        return self._initial_data

    def model_fields(self, names: tuple[str, ...]) -> ModelFields:
        """See `PhysicsEngine.model_fields`."""
        return {name: jnp.asarray(self._model_field(name), jnp.float32) for name in names}

    def _model_field(self, name: str) -> np.ndarray:
        mj_model = self._model.mj_model
        value = getattr(mj_model, name, None)
        if name not in mujoco_batch.MODEL_FIELDS or not _is_floating(value):
            known = [
                field
                for field in mujoco_batch.MODEL_FIELDS
                if _is_floating(getattr(mj_model, field, None))
            ]
            message = unknown_name_message(name, known, kind="model field")
            raise KeyError(f'NativeEngine(field="{name}"): {message}')
        return np.asarray(value)

    def step(
        self,
        fields: ModelFields,
        data: PhysicsData,
        ctrl: Float[Array, "nu"],
        start: EpisodeStart,
        is_reset: Bool[Array, ""],
    ) -> PhysicsData:
        """See `PhysicsEngine.step`."""
        assert isinstance(data, NativeData)
        written = {name: data.fields[name] for name in WRITABLE if name in data.fields}
        arguments = (dict(fields), data.state, written, ctrl, start, is_reset)
        result = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), data)
        if jax.default_backend() == "cpu":
            # In place, on JAX's own buffers.
            return buffer_callback(self._step_buffers, result, vmap_method="broadcast_all")(
                *arguments
            )
        return jax.pure_callback(self._step_arrays, result, *arguments, vmap_method="broadcast_all")

    def _step_buffers(self, context: Any, out: NativeData, *arguments: Any) -> None:
        """Steps every simulation of a call; the leaves are buffers of the CPU."""
        out, arguments = jax.tree.map(np.asarray, (out, arguments))
        self._step_all(out, *arguments)

    def _step_arrays(self, *arguments: Any) -> NativeData:
        """Steps every simulation of a call; the leaves are arrays, copied from the device."""
        arguments = jax.tree.map(np.asarray, arguments)
        leading = arguments[1].shape[:-1]
        out = jax.tree.map(lambda x: np.empty((*leading, *x.shape), x.dtype), self._initial_data)
        self._step_all(out, *arguments)
        return out

    def _step_all(
        self,
        out: NativeData,
        fields: Mapping[str, np.ndarray],
        state: np.ndarray,
        written: Mapping[str, np.ndarray],
        ctrl: np.ndarray,
        start: EpisodeStart,
        is_reset: np.ndarray,
    ) -> None:
        """Writes the next data of all simulations; arrays have any leading axes."""
        num_axes, num_simulations = is_reset.ndim, is_reset.size

        def rows(x: np.ndarray) -> np.ndarray:
            return x.reshape(num_simulations, *x.shape[num_axes:])

        out, fields, state, written, ctrl, start, is_reset = jax.tree.map(
            rows, (out, fields, state, written, ctrl, start, is_reset)
        )
        idle = self._idle[num_simulations, tuple(fields)]
        try:
            simulations = idle.get_nowait()
        except queue.Empty:
            simulations = _Simulations(
                self._model.mj_model, num_simulations, self._num_threads, out.fields, fields
            )
        simulations.set_model_fields(fields)
        simulations.set_state(state.view(np.float64), written)
        simulations.start_where(is_reset, self._default_state, start)
        is_failed = simulations.step(~is_reset, ctrl, self._model.num_substeps)
        simulations.read(out)
        idle.put(simulations)
        for name, mask in self._is_of_last_substep.items():
            out.fields[name][is_reset] = np.where(mask, 0, out.fields[name][is_reset])
        out.fields["qpos"][is_failed] = np.nan
        out.fields["qvel"][is_failed] = np.nan


def num_host_cores() -> int:
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Simulations:
    """A batch of simulations, and the arrays that it reads and writes."""

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
        self._model_fields = {name: self._batch.expand(name) for name in model_fields}
        self._is_mass_alone = "body_mass" in model_fields and "body_subtreemass" not in model_fields
        if self._is_mass_alone:
            # MuJoCo takes a subtree's centre from sums that it made when the model was compiled.
            self._is_in_subtree = _is_in_subtree(mj_model)
            self._subtree_mass = self._batch.expand("body_subtreemass")

    def set_model_fields(self, fields: Mapping[str, np.ndarray]) -> None:
        """Gives every simulation its own model."""
        for name, value in fields.items():
            self._model_fields[name][...] = value
        if self._is_mass_alone:
            self._subtree_mass[...] = self._model_fields["body_mass"] @ self._is_in_subtree

    def set_state(self, state: np.ndarray, written: Mapping[str, np.ndarray]) -> None:
        """Continues from a state, and from what was written since, in single precision."""
        self._batch.state[...] = state
        for name, value in written.items():
            array = self._arrays[name]
            np.copyto(array, value, where=value != array.astype(np.float32))

    def start_where(
        self, is_reset: np.ndarray, default_state: np.ndarray, start: EpisodeStart
    ) -> None:
        """Begins episodes."""
        self._batch.state[is_reset] = default_state
        self._batch.bind("qpos")[is_reset] = start.qpos[is_reset]
        self._batch.bind("qvel")[is_reset] = start.qvel[is_reset]

    def step(self, is_moving: np.ndarray, ctrl: np.ndarray, num_substeps: int) -> np.ndarray:
        """Moves some simulations on, and computes positions and velocities in the others.

        Returns:
          `[num_simulations]` which ones MuJoCo rejected.
        """
        batch = self._batch
        moving, still = np.flatnonzero(is_moving), np.flatnonzero(~is_moving)
        np.copyto(batch.bind("ctrl"), ctrl, where=is_moving[:, None])
        batch.warning[...] = 0
        is_failed = np.zeros(len(is_moving), bool)
        if moving.size:
            try:
                batch.step(moving, num_substeps, POSITIONS_AND_VELOCITIES)
            except mujoco_batch.SimulationError as error:
                is_failed[error.ids] = True
        if still.size:
            try:
                batch.forward(still, POSITIONS_AND_VELOCITIES)
            except mujoco_batch.SimulationError as error:
                is_failed[error.ids] = True
        return is_failed | np.any(batch.warning[:, FAILURES, COUNT] > 0, axis=1)

    def read(self, out: NativeData) -> None:
        """Copies what was computed."""
        out.state[...] = _bits(self._batch.state)
        for name, value in out.fields.items():
            value[...] = self._arrays[name].reshape(value.shape)


def _is_in_subtree(mj_model: mujoco.MjModel) -> np.ndarray:
    """Returns `[nbody, nbody]`, 1 where the first body is in the subtree of the second."""
    is_in = np.eye(mj_model.nbody)
    for body in range(mj_model.nbody - 1, 0, -1):
        is_in[:, mj_model.body_parentid[body]] += is_in[:, body]
    return is_in


class _DefaultData:
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
            if _is_floating(value := np.asarray(getattr(data, name)))
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
    derived = [name for name in fields if name not in mujoco_batch._STATE_FIELDS]
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


def _is_floating(value: Any) -> bool:
    return isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating)


def _bits(state: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(state).view(np.uint32)
