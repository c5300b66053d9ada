"""MuJoCo Warp's physics in JAX."""

import copy
from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from ksim.config import unknown_name_message
from ksim.physics.computed_fields import STATE_FIELDS
from ksim.physics.data import NamedFields, PhysicsData
from ksim.physics.engines.base import EpisodeStart, ModelFields, PhysicsEngine
from ksim.physics.engines.default_data import DefaultData
from ksim.physics.engines.warp_functions import StepwiseMjx, WarpFunctions
from ksim.physics.model import PhysicsModel, subtree_membership

ALWAYS_READ = ("time", "qpos", "qvel", "act", "history", "qacc_warmstart", "ctrl")
"""Fields without which a simulation cannot be continued; events may add others."""


class WarpEngine(PhysicsEngine):
    """Steps simulations with MuJoCo Warp's kernels through MJX, on NVIDIA GPUs.

    Warp offers whole steps only, not their parts. A control step is therefore `num_substeps`
    steps, and then a forward pass over the new state, or over the start of an episode. What that
    pass gives as forces is not used: they are those of the last substep, as with other engines.

    Warp keeps the contacts of all environments in arrays without an axis of environments. They
    are not part of the data that goes from one control step to the next, which is the state and the
    fields read: contacts and constraints are computed again in every step.
    """

    def __init__(
        self,
        model: PhysicsModel,
        num_environments: int,
        naconmax: int | None = None,
        njmax: int | None = None,
        functions: StepwiseMjx | None = None,
    ) -> None:
        """Prepares the simulations; compiles nothing.

        Args:
          model: the model.
          num_environments: environments that are stepped together, on one device.
          naconmax: contacts that they hold together; `None` takes MuJoCo Warp's rule for one
            environment, times their number.
          njmax: constraint rows that one environment holds; `None` takes MuJoCo Warp's rule.
          functions: the implementation of MJX that computes; MuJoCo Warp by default.
        """
        mj_model = model.mj_model
        self._functions = functions or WarpFunctions(graph_mode="warp")
        self._num_substeps = model.num_substeps
        # Host arrays: a program that closes over them may run on any device.
        self._model = jax.tree.map(np.asarray, self._functions.put_model(mj_model))
        contacts, rows = self._functions.room(self._functions.make_data(mj_model))
        self._room = (naconmax or contacts * num_environments, njmax or rows)
        data = self._functions.make_data(mj_model, *self._room)
        self._template = jax.tree.map(np.asarray, data)
        default = DefaultData(mj_model)
        self._known = {name: default.fields[name] for name in default.fields if name in vars(data)}
        self._read_fields = frozenset(self._known)
        self._is_of_last_substep = default.is_of_last_substep
        self._is_in_subtree = np.float32(subtree_membership(mj_model.body_parentid))

    @property
    def description(self) -> str:
        """See `PhysicsEngine.description`."""
        naconmax, njmax = self._room
        return (
            f"MJX on the devices, by MuJoCo Warp; room for {naconmax:,} contacts on a device and"
            f" {njmax:,} constraint rows in an environment"
        )

    def reading(self, fields: Collection[str]) -> "WarpEngine":
        """See `PhysicsEngine.reading`.

        Raises:
          KeyError: if MJX has no such field.
        """
        for name in fields:
            if name not in self._known:
                message = unknown_name_message(
                    name, self._known, kind="field", place="in MJX's data"
                )
                raise KeyError(f'WarpEngine(field="{name}"): {message}')
        engine = copy.copy(self)
        engine._read_fields = frozenset({*ALWAYS_READ, *fields})
        return engine

    def initial_data(self) -> PhysicsData:
        """See `PhysicsEngine.initial_data`."""
        return NamedFields(  # type: ignore[abstract]
            {name: self._known[name] for name in sorted(self._read_fields)}
        )

    def model_fields(self, names: tuple[str, ...]) -> ModelFields:
        """See `PhysicsEngine.model_fields`."""
        return {name: jnp.asarray(self._model_field(name)) for name in names}

    def _model_field(self, name: str) -> np.ndarray:
        known = [
            field
            for field in self._functions.batched_fields(self._model)
            if np.issubdtype(np.asarray(getattr(self._model, field)).dtype, np.floating)
        ]
        if name not in known:
            message = unknown_name_message(name, known, kind="model field")
            raise KeyError(f'WarpEngine(field="{name}"): {message}')
        return np.asarray(getattr(self._model, name))

    def step(
        self,
        fields: ModelFields,
        data: PhysicsData,
        ctrl: Float[Array, "nu"],
        start: EpisodeStart,
        is_reset: Bool[Array, ""],
    ) -> PhysicsData:
        """See `PhysicsEngine.step`."""
        assert isinstance(data, NamedFields)
        model = jax.tree.map(_in_program, self._model).tree_replace(self._with_sums(fields))
        state = {name: value for name, value in data.fields.items() if name in STATE_FIELDS}
        before = jax.tree.map(_in_program, self._template).replace(**{**state, "ctrl": ctrl})
        with jax.default_matmul_precision("highest"):
            moved = lax.fori_loop(
                0,
                self._num_substeps,
                lambda _, simulation: self._functions.step(model, simulation),
                before,
            )
            state = {
                name: jnp.where(is_reset, self._start_of(name, start), getattr(moved, name))
                for name in state
            }
            after = self._functions.forward(model, moved.replace(**state))
        read = {name: self._read(name, after, moved, is_reset) for name in data.fields}
        return NamedFields({**read, **state})  # type: ignore[abstract]

    def _with_sums(self, fields: ModelFields) -> dict[str, Array]:
        """Returns model fields, and those that MuJoCo derives from them when it compiles."""
        fields = dict(fields)
        if "body_mass" in fields and "body_subtreemass" not in fields:
            fields["body_subtreemass"] = fields["body_mass"] @ self._is_in_subtree
        return fields

    def _start_of(self, name: str, start: EpisodeStart) -> Any:
        """Returns the value of a state field where an episode starts."""
        given = {"qpos": start.qpos, "qvel": start.qvel}
        return given.get(name, self._known[name])

    def _read(self, name: str, after: Any, moved: Any, is_reset: Bool[Array, ""]) -> Array:
        """Returns a derived field: current, except elements that tell of the last substep."""
        current = getattr(after, name)
        mask = self._is_of_last_substep.get(name)
        if mask is None:
            return current
        return jnp.where(mask, jnp.where(is_reset, 0.0, getattr(moved, name)), current)


def _in_program(value: np.ndarray) -> Array:
    """Returns a constant for the program being traced, on whichever device it will run.

    One that has the same value everywhere, such as the room for contacts, takes no memory in it.
    """
    if value.size > 1 and np.all(value == value.flat[0]):
        return jnp.full(value.shape, value.flat[0], value.dtype)
    return jnp.asarray(value)
