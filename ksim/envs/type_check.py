"""Checks types and shapes of an environment against the contract, without compiling."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ksim.envs.environment import ActionSpace, DiscreteActions, Environment, Timestep

Types = dict[str, str]
"""The dtype and shape of each leaf of a tree by its path, as in `float32[3]`."""


def check_environment_types(environment: Environment) -> Timestep:
    """Traces `reset` and `step` once, and compares their results with the contract.

    Args:
      environment: one copy of the environment.

    Returns:
      Shapes and dtypes of the timestep that `step` returns.

    Raises:
      TypeError: if something has another type than the contract demands.
      AssertionError: if a shape or a dtype changes from one step to the next.
      ValueError: if `ctrl_dt` is not positive. Each error names the first broken rule, the value
        found and what to write instead.
    """
    if not isinstance(environment, Environment):
        if isinstance(environment, type) and issubclass(environment, Environment):
            raise TypeError(
                f"get_environment returned the class {environment.__name__}. Give an object of it:"
                f" {environment.__name__}()."
            )
        raise TypeError(
            f"get_environment returned a {type(environment).__name__}. Derive from"
            " ksim.Environment and write action_space, reset and step."
        )
    _check_actions(environment)
    if not environment.ctrl_dt > 0:
        found = f"ctrl_dt is {environment.ctrl_dt!r}"
        advice = "write ctrl_dt = 0.02 in the class, or leave it out."
        require(environment, False, "a step takes time, in seconds", found, advice, ValueError)
    _check_reset(environment)
    return _check_step(environment)


def require(
    environment: Environment,
    is_kept: Any,
    rule: str,
    found: str,
    advice: str,
    error: type[Exception] = AssertionError,
) -> None:
    """Raises `error` unless an environment keeps a rule."""
    if not is_kept:
        raise error(rule_message(type(environment.unwrapped).__name__, rule, found, advice))


def rule_message(who: str, rule: str, found: str, advice: str) -> str:
    """Returns the message that names a broken rule, what was found, and what to write instead."""
    return f'{who} breaks the rule "{rule}": {found}. Instead, {advice}'


def types_of(tree: Any) -> Types:
    """Returns the dtype and shape of each leaf by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(jax.eval_shape(lambda: tree))
    return {jax.tree_util.keystr(path): f"{x.dtype}{list(x.shape)}" for path, x in leaves}


def any_action(environment: Environment) -> Array:
    """Returns an action of zeros."""
    space = environment.action_space
    return jnp.int32(0) if isinstance(space, DiscreteActions) else jnp.zeros(space.size)


def _check_actions(environment: Environment) -> None:
    space = environment.action_space
    is_kept = isinstance(space, ActionSpace) and min(vars(space).values()) > 0
    rule, advice = "there are actions", "return ContinuousActions(size) or DiscreteActions(count)."
    require(environment, is_kept, rule, f"action_space is {space!r}", advice, TypeError)


def _check_reset(environment: Environment) -> None:
    result = jax.eval_shape(environment.reset, jax.random.key(0))
    is_pair = type(result) is tuple and len(result) == 2
    rule, found = "reset returns a state and observations", f"it returns {type(result).__name__}"
    advice = "write `return state, observations`."
    require(environment, is_pair, rule, found, advice, TypeError)
    observations = result[1]
    is_kept = isinstance(observations, dict) and len(observations) > 0
    is_kept = is_kept and all(getattr(x, "dtype", 0) == jnp.float32 for x in observations.values())
    rule, found = "observations are float32 arrays by name", f"reset gives {observations}"
    advice = 'write {"position": position.astype(jnp.float32)}, a name for each array.'
    require(environment, is_kept, rule, found, advice, TypeError)


def _check_step(environment: Environment) -> Timestep:
    key = jax.random.key(0)
    state, observations = jax.eval_shape(environment.reset, key)
    result = jax.eval_shape(environment.step, state, any_action(environment), key)
    is_pair = type(result) is tuple and len(result) == 2 and isinstance(result[1], Timestep)
    rule, found = "step returns a state and a Timestep", f"it returns {type(result).__name__}"
    advice = "write `return state, Timestep(...)`."
    require(environment, is_pair, rule, found, advice, TypeError)
    next_state, timestep = result
    before = {"state": state, "observations": observations}
    after = {"state": next_state, "observations": timestep.observations}
    _require_same_types(environment, before, after)
    rule = "the reward and metrics are single numbers, flags are single booleans"
    checked = dataclasses.replace(timestep, contributions=())  # numbers of any shape
    for name, found in types_of(checked).items():
        field = name[1:].split("[")[0]
        kind = {"reward": "32[]", "metrics": "[]", "observations": ""}.get(field, "bool[]")
        shown = "float32[]" if field == "reward" else kind
        advice = f"give an array of type {shown}, as jnp.float32(1) and jnp.bool_(False) are."
        is_kept = found.endswith(kind)
        require(environment, is_kept, rule, f"{name[1:]} is {found}", advice, TypeError)
    return timestep


def _require_same_types(environment: Environment, before: Any, after: Any) -> None:
    rule = "states and observations keep their shapes and dtypes"
    advice = "let step return what reset returns."
    first, second = types_of(before), types_of(after)
    for name in first | second:
        found = f"{name} is {first.get(name)}, then {second.get(name)}"
        require(environment, first.get(name) == second.get(name), rule, found, advice)
    structures = [jax.tree.structure(tree) for tree in (before, after)]
    found = f"{structures[0]} is not {structures[1]}"
    require(environment, len(set(structures)) == 1, rule, found, advice)
