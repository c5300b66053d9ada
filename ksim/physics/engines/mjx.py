"""MuJoCo's physics in JAX."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from ksim.config import unknown_name_message
from ksim.physics.data import PhysicsData
from ksim.physics.engines.base import EpisodeStart, ModelFields, PhysicsEngine
from ksim.physics.engines.default_data import DefaultData
from ksim.physics.engines.mjx_support import check_supported
from ksim.physics.engines.quiet_mjx import mjx
from ksim.physics.model import PhysicsModel
from ksim.xla.compiler_options import SMALL_OPERATIONS

LEAST_SLIDING_FRICTION = 1e-3
"""Contacts of pyramidal cones divide by their friction: in single precision MuJoCo's least value,
1e-5, makes a ball at rest on a floor spring up within seconds."""


class MjxEngine(PhysicsEngine):
    """Steps simulations with MJX, the JAX implementation of MuJoCo."""

    def __init__(self, model: PhysicsModel) -> None:
        check_supported(model.mj_model)
        self._num_substeps = model.num_substeps
        # Host arrays: a program that closes over them may run on any device.
        self._model = _to_numpy(mjx.put_model(model.mj_model, **_placement()))
        self._initial_data = _default_data(model.mj_model)
        masks = DefaultData(model.mj_model).is_of_last_substep
        # MJX keeps some in an object of its implementation, where terms can read them all the same.
        self._is_of_last_substep, self._is_of_last_substep_within = (
            {name: masks[name] for name in masks if name in vars(fields)}
            for fields in (self._initial_data, self._initial_data._impl)
        )

    @property
    def description(self) -> str:
        """See `PhysicsEngine.description`."""
        return "MJX on the devices"

    @property
    def compiler_options(self) -> Mapping[str, Any]:
        """See `PhysicsEngine.compiler_options`."""
        return SMALL_OPERATIONS

    def initial_data(self) -> PhysicsData:
        """See `PhysicsEngine.initial_data`."""
        return self._initial_data

    def model_fields(self, names: tuple[str, ...]) -> ModelFields:
        """See `PhysicsEngine.model_fields`."""
        return {name: jnp.asarray(self._model_field(name)) for name in names}

    def _model_field(self, name: str) -> np.ndarray:
        value = getattr(self._model, name, None)
        if not isinstance(value, np.ndarray) or not np.issubdtype(value.dtype, np.floating):
            known = [field for field in vars(self._model) if not field.startswith("_")]
            message = unknown_name_message(name, known, kind="model field")
            raise KeyError(f'MjxEngine(field="{name}"): {message}')
        return value

    def step(
        self,
        fields: ModelFields,
        data: PhysicsData,
        ctrl: Float[Array, "nu"],
        start: EpisodeStart,
        is_reset: Bool[Array, ""],
    ) -> PhysicsData:
        """See `PhysicsEngine.step`."""
        # Constants of the program that is being traced, on whichever device it will run.
        model = jax.tree.map(jnp.asarray, self._model).tree_replace(dict(fields))
        model = _with_least_friction(model)

        def substep(index: Array, data: Any) -> Any:
            data = _integrate(model, data)
            is_start = is_reset & (index == self._num_substeps - 1)
            data = self._start_where(is_start, data, start)
            return _update_positions_and_velocities(model, data)

        # On GPUs since Ampere a matrix product would otherwise be rounded to 10 bits.
        with jax.default_matmul_precision("highest"):
            return lax.fori_loop(0, self._num_substeps, substep, data.replace(ctrl=ctrl))

    def _start_where(self, is_start: Bool[Array, ""], data: Any, start: EpisodeStart) -> Any:
        """Replaces the state where an episode starts, and clears the rest of the last episode."""

        def unless_start(value: Array) -> Array:
            return jnp.where(is_start, jnp.zeros_like(value), value)

        def cleared(fields: Any, masks: Mapping[str, np.ndarray]) -> dict[str, Array]:
            return {
                name: jnp.where(is_start & mask, 0.0, getattr(fields, name))
                for name, mask in masks.items()
            }

        return data.replace(
            **cleared(data, self._is_of_last_substep),
            _impl=data._impl.replace(**cleared(data._impl, self._is_of_last_substep_within)),
            time=unless_start(data.time),
            qpos=jnp.where(is_start, start.qpos, data.qpos),
            qvel=jnp.where(is_start, start.qvel, data.qvel),
            act=unless_start(data.act),
            qacc_warmstart=unless_start(data.qacc_warmstart),
        )


def _with_least_friction(model: Any) -> Any:
    """Returns a model whose contacts all have some friction, as MuJoCo ensures in each contact."""
    sliding, other = LEAST_SLIDING_FRICTION, mujoco.mjMINMU

    def at_least(friction: Array, *least: float) -> Array:
        return jnp.maximum(friction, np.broadcast_to(np.array(least, np.float32), friction.shape))

    return model.replace(
        geom_friction=at_least(model.geom_friction, sliding, other, other),
        pair_friction=at_least(model.pair_friction, sliding, sliding, other, other, other),
    )


def _integrate(model: Any, data: Any) -> Any:
    """Computes forces and accelerations, and advances the state by one physics step."""
    data = mjx.fwd_actuation(model, data)
    data = mjx.fwd_acceleration(model, data)
    has_constraints = data._impl.efc_J.size > 0
    data = mjx.solve(model, data) if has_constraints else data.replace(qacc=data.qacc_smooth)
    data = mjx.sensor_acc(model, data)
    if model.opt.integrator == mujoco.mjtIntegrator.mjINT_EULER:
        return mjx.euler(model, data)
    return mjx.implicit(model, data)


def _update_positions_and_velocities(model: Any, data: Any) -> Any:
    """Computes all that depends on positions and velocities, sensors included."""
    data = mjx.fwd_position(model, data)
    data = mjx.sensor_pos(model, data)
    data = mjx.fwd_velocity(model, data)
    return mjx.sensor_vel(model, data)


def _default_data(mj_model: mujoco.MjModel) -> Any:
    """Returns the data of the model's default state, computed by native MuJoCo."""
    data = mujoco.MjData(mj_model)
    mujoco.mj_forward(mj_model, data)
    return _to_numpy(mjx.put_data(mj_model, data, **_placement()))


def _placement() -> dict[str, Any]:
    """Returns the implementation and the device; left to choose them, MJX writes to the log."""
    return {"impl": "jax", "device": jax.local_devices()[0]}


def _to_numpy(tree: Any) -> Any:
    return jax.tree.map(np.asarray, tree)
