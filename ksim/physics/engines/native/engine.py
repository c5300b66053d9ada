"""Native MuJoCo on the host's cores, offered to JAX as a pure function."""

import logging
from collections import deque
from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float
from mujoco import batch as mujoco_batch

from ksim.config import unknown_name_message
from ksim.physics.computed_fields import is_floating
from ksim.physics.data import PhysicsData
from ksim.physics.engines.base import EpisodeStart, ModelFields, PhysicsEngine
from ksim.physics.engines.default_data import DefaultData
from ksim.physics.engines.native.data import NativeData, state_bits
from ksim.physics.engines.native.stepper import NativeStepper
from ksim.physics.model import PhysicsModel
from ksim.xla.compiler_options import HOST_CALLS
from ksim.xla.host_calls import call_by_copies, call_named, named
from ksim.xla.threads import usable_cores

ALWAYS_READ = ("time", "qpos", "qvel", "ctrl")
WRITABLE = ("qpos", "qvel", "qfrc_applied", "xfrc_applied", "mocap_pos", "mocap_quat")
"""State fields that an event may replace between two steps."""

# JAX returns from a call before its program has run, and by then whoever made the call may have let
# go of the engine: the latest ones stay.
_latest_steppers: deque[NativeStepper] = deque(maxlen=8)


class NativeEngine(PhysicsEngine):
    """Steps many simulations with MuJoCo's own C engine, on the threads of the host.

    JAX hands over the state of all simulations of a device in one call, and gets it back with the
    derived fields: nothing is remembered between two calls. The state travels in double precision.
    A simulation that MuJoCo rejects comes back with positions and velocities that are not numbers;
    the others are not affected.
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
          KeyError: if there is no such field.
          ValueError: if MuJoCo cannot step such a model without remembering it between calls.
        """
        _check_steppable(model.mj_model)
        self._model = model
        self._num_threads = num_threads or len(usable_cores())
        default = DefaultData(model.mj_model)
        known = default.fields
        for name in fields or ():
            if name not in known:
                message = unknown_name_message(name, known, kind="field", place="in mjData")
                raise KeyError(f'NativeEngine(fields="{name}"): {message}')
        names = known if fields is None else {*ALWAYS_READ, *fields}
        self._initial_data = NativeData(  # type: ignore[abstract]
            state=state_bits(default.state), fields={name: known[name] for name in sorted(names)}
        )
        if mujoco.get_mju_user_warning() is None:
            # By default MuJoCo writes a file into the working folder, for every warning.
            mujoco.set_mju_user_warning(logging.getLogger(__name__).debug)
        stepper = NativeStepper(model, self._num_threads, default)
        self._stepper = named(stepper.name, stepper)
        _latest_steppers.append(self._stepper)

    @property
    def description(self) -> str:
        """See `PhysicsEngine.description`."""
        return f"native MuJoCo on the host, {self._num_threads} thread(s) for a device"

    @property
    def compiler_options(self) -> Mapping[str, Any]:
        """See `PhysicsEngine.compiler_options`; most of a rollout is MuJoCo's work."""
        return HOST_CALLS

    def reading(self, fields: Collection[str]) -> "NativeEngine":
        """See `PhysicsEngine.reading`."""
        return NativeEngine(self._model, self._num_threads, fields)

    def initial_data(self) -> PhysicsData:
        """See `PhysicsEngine.initial_data`."""
        return self._initial_data

    def model_fields(self, names: tuple[str, ...]) -> ModelFields:
        """See `PhysicsEngine.model_fields`."""
        return {
            name: jnp.asarray(np.asarray(self._model_field(name), np.float32)) for name in names
        }

    def _model_field(self, name: str) -> np.ndarray:
        mj_model = self._model.mj_model
        value = getattr(mj_model, name, None)
        if name not in mujoco_batch.MODEL_FIELDS or not is_floating(value):
            known = [
                field
                for field in mujoco_batch.MODEL_FIELDS
                if is_floating(getattr(mj_model, field, None))
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
        arguments = {
            "state": data.state,
            "written": {name: data.fields[name] for name in WRITABLE if name in data.fields},
            "ctrl": ctrl,
            "is_reset": is_reset,
            "start": {"qpos": start.qpos, "qvel": start.qvel},
            "model": dict(fields),
        }
        results = {"state": data.state, "fields": dict(data.fields)}
        results = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), results)

        def step_here(arguments: Any) -> Any:
            """Steps in place on JAX's own buffers, on a CPU."""
            return call_named(self._stepper.name, results, arguments)

        def step_on_the_host(arguments: Any) -> Any:
            return call_by_copies(self._stepper, results, arguments)

        stepped = lax.platform_dependent(arguments, cpu=step_here, default=step_on_the_host)
        return NativeData(**stepped)  # type: ignore[abstract]


def _check_steppable(mj_model: mujoco.MjModel) -> None:
    """Raises ValueError if `mujoco.batch` does not accept a model."""
    try:
        mujoco_batch.Batch(mj_model, 1, 1)
    except ValueError as error:
        raise ValueError(
            f"The native engine cannot step this model: {error}. Leave it out of the MJCF, as in"
            ' <flag sleep="disable"/>.'
        ) from error
