"""Runs optimizers on parameters that are split over devices, and checks that they can be."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec
from jaxtyping import Array

from ksim.config import ConfigError
from ksim.parallel import ParameterShards, split_axis

# Gradients of several sizes: a limit on the norm shows only beyond it.
PROBE_SCALES = (1e-3, 1.0, 1e4)
PROBE_LENGTH = 3


def clip_by_global_norm(max_norm: float) -> optax.GradientTransformationExtraArgs:
    """Scales gradients so that the norm of all of them together is at most `max_norm`.

    Like `optax.clip_by_global_norm`, and correct when large parameters are split over devices
    (`fsdp_devices`), where optax's own takes the norm of one device's shards.

    Args:
      max_norm: largest norm, > 0.

    Reference:
      Pascanu et al. 2013, "On the difficulty of training recurrent neural networks",
      arXiv:1211.5063.
    """

    def update(
        updates: Any,
        state: Any,
        params: Any = None,
        *,
        global_norm: Callable[[Any], Array] = optax.tree.norm,
        **others: Any,
    ) -> tuple[Any, Any]:
        norm = global_norm(updates)

        def clip(gradient: Array) -> Array:
            clipped = (gradient / norm.astype(gradient.dtype)) * max_norm
            return jnp.where(norm < max_norm, gradient, clipped)

        return jax.tree.map(clip, updates), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


def optimizer_update(
    optimizer: optax.GradientTransformation,
    shards: ParameterShards,
    gradients: Any,
    state: Any,
    parameters: Any,
) -> tuple[Any, Any]:
    """Calls `optimizer.update`; passes it the global norm where parameters are split."""
    if shards.axis_name is None:
        return optimizer.update(gradients, state, parameters)
    optimizer = optax.with_extra_args_support(optimizer)
    return optimizer.update(gradients, state, parameters, global_norm=shards.norm)


def optimizer_state_specs(state: Any, parameters: Any, specs: Any) -> Any:
    """Returns a `PartitionSpec` for each leaf of an optimizer's state: that of its parameter.

    A leaf belongs to a parameter if it has its shape and its path ends in the parameter's path, as
    for Adam's moments. All others are replicated.

    Args:
      state: the optimizer's state of whole parameters; arrays or `jax.ShapeDtypeStruct`.
      parameters: the whole parameters; arrays or `jax.ShapeDtypeStruct`.
      specs: pytree of `PartitionSpec`, like `parameters`.
    """
    described = [
        (path, leaf.shape, spec)
        for (path, leaf), spec in zip(
            jax.tree_util.tree_leaves_with_path(parameters), jax.tree.leaves(specs), strict=True
        )
    ]
    # Several parameters' paths may end a path; the longest is the most specific.
    described.sort(key=lambda one: len(one[0]), reverse=True)

    def spec_of(path: Any, leaf: Any) -> PartitionSpec:
        for parameter_path, shape, spec in described:
            ends = path[len(path) - len(parameter_path) :]
            if ends == parameter_path and leaf.shape == shape:
                return spec
        return PartitionSpec()

    return jax.tree_util.tree_map_with_path(spec_of, state)


def check_optimizer_takes_shards(
    optimizer: optax.GradientTransformation, shards: ParameterShards
) -> None:
    """Checks that an optimizer steps shards as it steps whole parameters.

    Both are tried on small parameters of the same structure: no list of optimizers could be
    complete, and users write their own.

    Raises:
      ConfigError: if the steps differ, or the optimizer cannot be run on shards.
    """
    if not any(split_axis(spec) is not None for spec in jax.tree.leaves(shards.specs)):
        return
    try:
        is_right = _gives_the_same_steps(optimizer, shards)
    except (TypeError, ValueError) as error:
        raise _refusal(shards, f"It cannot be run on shards: {error}") from error
    if not is_right:
        raise _refusal(shards, "For shards it takes other steps than for whole parameters.")


def _refusal(shards: ParameterShards, what: str) -> ConfigError:
    return ConfigError(
        f"get_optimizer: with fsdp_devices={shards.size} an optimizer sees one shard of each large"
        f" parameter. {what} Write ksim.clip_by_global_norm(...) in place of"
        " optax.clip_by_global_norm, and an optimizer that treats every number by itself, such as"
        " optax.adamw; or fsdp_devices=1."
    )


def _gives_the_same_steps(optimizer: optax.GradientTransformation, shards: ParameterShards) -> bool:
    """Takes a few steps with whole parameters, and with shards side by side under `jax.vmap`."""
    parameters = _small_parameters(shards)
    state_specs = optimizer_state_specs(
        jax.eval_shape(optimizer.init, parameters), parameters, shards.specs
    )
    real_state = jax.eval_shape(optimizer.init, shards.shapes)
    real_specs = optimizer_state_specs(real_state, shards.shapes, shards.specs)
    if jax.tree.leaves(state_specs) != jax.tree.leaves(real_specs):
        raise ValueError("its state is made differently for parameters of different shapes.")

    def run(shards: ParameterShards, parameters: Any, state: Any) -> list[Any]:
        start, taken = parameters, []
        for scale in PROBE_SCALES:
            gradients = jax.tree.map(lambda x, scale=scale: scale * jnp.sin(7 * x + 1), start)
            steps, state = optimizer_update(optimizer, shards, gradients, state, parameters)
            parameters = optax.apply_updates(parameters, steps)
            taken.append(steps)
        return taken

    def split(tree: Any, specs: Any) -> Any:
        return jax.tree.map(lambda spec, leaf: _split(leaf, spec, shards.size), specs, tree)

    @jax.jit  # one program: operation by operation it would be hundreds
    def run_both(parameters: Any) -> tuple[Any, Any]:
        state = optimizer.init(parameters)
        expected = run(ParameterShards(), parameters, state)
        run_shards = jax.vmap(lambda *trees: run(shards, *trees), axis_name=shards.axis_name)
        found = run_shards(split(parameters, shards.specs), split(state, state_specs))
        return found, [split(steps, shards.specs) for steps in expected]

    found, expected = run_both(parameters)
    return all(
        np.allclose(one, other, rtol=1e-4, atol=1e-5 * np.max(np.abs(other)))
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    )


def _small_parameters(shards: ParameterShards) -> Any:
    """Returns parameters like the real ones, of a few numbers each."""

    def small(spec: PartitionSpec, leaf: Any) -> np.ndarray:
        shape = [
            PROBE_LENGTH * shards.size if axis == split_axis(spec) else min(length, PROBE_LENGTH)
            for axis, length in enumerate(leaf.shape)
        ]
        return np.sin(np.arange(1, np.prod(shape) + 1)).reshape(shape).astype(leaf.dtype)

    return jax.tree.map(small, shards.specs, shards.shapes)


def _split(leaf: Array, spec: PartitionSpec, size: int) -> Array:
    """Returns the parts of the devices of a group, side by side: `[size, ...]`."""
    axis = split_axis(spec)
    parts = [leaf] * size if axis is None else jnp.split(leaf, size, axis)
    return jnp.stack(parts)
