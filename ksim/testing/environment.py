"""Does an environment keep the contract that training relies on?"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from ksim.envs import ContinuousActions, DiscreteActions, Environment, Timestep
from ksim.parallel.host import is_key

# For the same step compiled in two ways: relative to a number, and absolute below 1.
TOLERANCE = 1e-4


def check_environment(environment: Environment, num_steps: int = 100, seed: int = 0) -> None:
    """Tries whether an environment keeps the rules of `Environment`, one after the other.

    First types and shapes, which costs no compilation; then `reset`, `step` and `step_or_reset`
    run eagerly, compiled and vmapped.

    Args:
      environment: one copy of the environment.
      num_steps: steps of the longest trial, which starts a new episode where one has ended; best
        are so many that some episodes end.
      seed: of the keys and actions; actions are standard normal, or uniform over the choices.

    Raises:
      TypeError: if something is not of the type that the contract names.
      AssertionError: if another rule is broken. Both name the first broken rule, say what was found
        and what to write instead.
    """
    trial = _Trial(environment, jax.random.key(seed))
    _check_actions(trial)
    _check_reset_types(trial)
    _check_step_types(trial)
    _check_declared_types(trial)
    _check_purity(trial)
    _check_episodes(trial, num_steps)
    _check_new_episode(trial)
    _check_step_or_reset(trial)
    _check_vmap(trial)


class _Trial:
    """An environment under trial, and the keys and actions to try it with."""

    def __init__(self, environment: Environment, key: Key[Array, ""]) -> None:
        self.environment, self._key, self.num_traces = environment, key, 0
        advice = "derive its class from ksim.Environment, and give an instance."
        is_environment = isinstance(environment, Environment)
        self.require(is_environment, "an Environment is given", "it is none", advice, TypeError)
        self.reset, self.step = jax.jit(environment.reset), jax.jit(environment.step)
        self.step_or_reset = jax.jit(self._counted_step_or_reset)

    def require(
        self, is_kept: Any, rule: str, found: str, advice: str, error: type = AssertionError
    ) -> None:
        """Raises `error` unless the rule is kept."""
        if not is_kept:
            name = type(self.environment).__name__
            raise error(f'{name} breaks the rule "{rule}": {found}. Instead, {advice}')

    def require_same_types(self, before: Any, after: Any, rule: str, advice: str) -> None:
        """Raises unless two trees have the same structure, shapes and dtypes."""
        self.require_same(_types(before), _types(after), rule, advice)
        is_kept = jax.tree.structure(before) == jax.tree.structure(after)
        self.require(is_kept, rule, "containers or static fields change", advice)

    def require_same(
        self, before: dict, after: dict, rule: str, advice: str, tolerance: float | None = None
    ) -> None:
        """Raises unless two dictionaries hold the same by name; numbers up to a tolerance."""
        change = _difference(before, after, tolerance)
        self.require(change is None, rule, f"{change}", advice)

    def next_key(self) -> Key[Array, ""]:
        """Returns a key that was not used before."""
        self._key, key = jax.random.split(self._key)
        return key

    def next_action(self) -> Array:
        """Returns a random action."""
        space = self.environment.action_space
        if isinstance(space, DiscreteActions):
            return jax.random.randint(self.next_key(), (), 0, space.count, jnp.int32)
        return jax.random.normal(self.next_key(), (space.size,))

    def trace(self, method: str, *arguments: Any) -> Any:
        """Returns the shapes and dtypes of what a method returns, computing nothing."""
        try:
            return jax.eval_shape(getattr(self.environment, method), *arguments)
        except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
            found = f"{method} cannot be traced ({type(error).__name__}: the traceback shows where)"
            advice = "write jnp.where for `if`, jnp for NumPy and math, the state for `self`."
            self.require(False, "methods are functions of JAX arrays", found, advice, TypeError)

    def _counted_step_or_reset(self, *arguments: Any) -> tuple[Any, Timestep]:
        self.num_traces += 1
        return self.environment.step_or_reset(*arguments)


def _check_actions(trial: _Trial) -> None:
    space = trial.environment.action_space
    is_known = isinstance(space, (ContinuousActions, DiscreteActions))
    rule, advice = "actions are known", "return ContinuousActions(size) or DiscreteActions(count)."
    trial.require(is_known, rule, f"action_space is {space!r}", advice, TypeError)
    number = space.count if isinstance(space, DiscreteActions) else space.size
    trial.require(number > 0, "there is an action", f"found {space}", "give a positive number.")


def _check_reset_types(trial: _Trial) -> None:
    result = trial.trace("reset", trial.next_key())
    is_pair = type(result) is tuple and len(result) == 2
    rule, found = "reset returns a state and observations", f"it returns {type(result).__name__}"
    trial.require(is_pair, rule, found, "write `return state, observations`.", TypeError)
    observations = result[1]
    is_kept = isinstance(observations, dict) and len(observations) > 0
    is_kept = is_kept and all(getattr(x, "dtype", 0) == jnp.float32 for x in observations.values())
    rule, found = "observations are float32 arrays by name", f"reset gives {observations}"
    advice = 'write {"position": position.astype(jnp.float32)}, a name for each array.'
    trial.require(is_kept, rule, found, advice, TypeError)


def _check_step_types(trial: _Trial) -> None:
    state, observations = trial.trace("reset", trial.next_key())
    result = trial.trace("step", state, trial.next_action(), trial.next_key())
    is_pair = type(result) is tuple and len(result) == 2 and isinstance(result[1], Timestep)
    rule, found = "step returns a state and a Timestep", f"it returns {type(result).__name__}"
    trial.require(is_pair, rule, found, "write `return state, Timestep(...)`.", TypeError)
    next_state, timestep = result
    rule = "states and observations keep their shapes and dtypes"
    before = {"state": state, "observations": observations}
    after = {"state": next_state, "observations": timestep.observations}
    trial.require_same_types(before, after, rule, "let step return what reset returns.")

    flags = {"is_terminated": timestep.is_terminated, "is_truncated": timestep.is_truncated}
    flags |= {f"terminations[{name!r}]": flag for name, flag in timestep.terminations.items()}
    for rule, arrays, dtype, example in (
        ("the reward is one float32 number", {"reward": timestep.reward}, "float32", "float32(1)"),
        ("a flag is one boolean", flags, "bool", "bool_(False)"),
    ):
        for name, array in arrays.items():
            found, is_kept = _types(array)[""], array.shape == () and array.dtype == dtype
            advice = f"give an array of this dtype and of shape (), as jnp.{example} is."
            trial.require(is_kept, rule, f"{name} is {found}", advice, TypeError)
    wrong = {name: array.shape for name, array in timestep.metrics.items() if array.shape != ()}
    advice = "log a mean, or give each number a name of its own."
    trial.require(not wrong, "a metric is one number", f"found shapes {wrong}", advice, TypeError)


def _check_declared_types(trial: _Trial) -> None:
    environment, key = trial.environment, trial.next_key()
    state, observations = trial.trace("reset", key)
    declared = {name: tuple(shape) for name, shape in environment.observation_shapes().items()}
    actual = {name: array.shape for name, array in observations.items()}
    advice = "leave the method out: the default is right."
    trial.require_same(actual, declared, "observation_shapes is right", advice)
    initial, rule = environment.initial_state(), "initial_state is like a state of reset"
    trial.require_same_types(state, initial, rule, advice)
    arguments, start = (state, trial.next_action(), key), (jnp.bool_(True), jnp.float32(0))
    stepped = trial.trace("step", *arguments)
    either = trial.trace("step_or_reset", *arguments, *start)
    rule, advice = "step_or_reset returns what step returns", "return the same structure."
    trial.require_same_types(stepped, either, rule, advice)


def _check_purity(trial: _Trial) -> None:
    environment, state = trial.environment, trial.environment.reset(trial.next_key())[0]
    for method, jitted, arguments in (
        (environment.reset, trial.reset, (trial.next_key(),)),
        (environment.step, trial.step, (state, trial.next_action(), trial.next_key())),
    ):
        name, before = method.__name__, _numbers(arguments)
        first = _numbers(method(*arguments))
        advice = "make a new state: state.replace(x=x) or {**state, 'x': x}."
        trial.require_same(before, _numbers(arguments), f"{name} changes no argument", advice)
        advice = "draw from `key`, and count in the state."
        again, compiled = _numbers(method(*arguments)), _numbers(jitted(*arguments))
        trial.require_same(first, again, f"{name} gives the same for the same", advice)
        rule = f"{name} gives the same under jax.jit"
        trial.require_same(first, compiled, rule, advice, TOLERANCE)


def _check_episodes(trial: _Trial, num_steps: int) -> None:
    state, is_reset = trial.environment.initial_state(), jnp.bool_(True)
    for index in range(num_steps):
        action, key = trial.next_action(), trial.next_key()
        state, timestep = trial.step_or_reset(state, action, key, is_reset, jnp.float32(0))
        logged = {"reward": timestep.reward, "metrics": timestep.metrics}
        numbers = _numbers(timestep.observations) | _numbers(logged)
        broken = [name for name, number in numbers.items() if not np.all(np.isfinite(number))]
        advice = "look for a division by 0, and for a root or logarithm of what may be negative."
        found = f"{', '.join(broken)} after {index} steps"
        trial.require(not broken, "numbers are finite", found, advice)
        is_reset = timestep.is_terminated | timestep.is_truncated
    rule, found = "one compilation serves all calls", f"step_or_reset took {trial.num_traces}"
    advice = "give the numbers in the state a dtype from the start, as in jnp.float32(0)."
    trial.require(trial.num_traces <= 1, rule, found, advice)


def _check_new_episode(trial: _Trial) -> None:
    (unused, _), action = trial.reset(trial.next_key()), trial.next_action()
    used, _ = trial.step(unused, action, trial.next_key())
    keys, start = (trial.next_key(), trial.next_key()), (jnp.bool_(True), jnp.float32(0))
    first, other = (trial.step_or_reset(unused, action, key, *start) for key in keys)
    second = trial.step_or_reset(used, trial.next_action(), keys[0], *start)
    rule, advice = "a new episode forgets the last one", "build its state from `key` alone."
    trial.require_same(_numbers(first), _numbers(second), rule, advice)
    timestep = first[1].replace(observations={}, metrics={})
    rule, found = "a new episode begins without reward and flags", f"found {_numbers(timestep)}"
    advice = "return 0 and False where is_reset is True."
    trial.require(not any(_numbers(timestep).values()), rule, found, advice)
    is_random = _difference(*(_numbers(trial.reset(key)) for key in keys))
    rule, found = "new episodes differ as resets do", "step_or_reset starts all episodes alike"
    is_kept = not is_random or _difference(_numbers(first), _numbers(other))
    trial.require(is_kept, rule, found, "draw the start from `key`.")


def _check_step_or_reset(trial: _Trial) -> None:
    (state, _), action, key = trial.reset(trial.next_key()), trial.next_action(), trial.next_key()
    found = _numbers(trial.step_or_reset(state, action, key, jnp.bool_(False), jnp.float32(0)))
    # The step may get the key itself, or what the default of step_or_reset makes of it. Of random
    # steps with still another key it is not known what to expect.
    expected = [_numbers(trial.step(state, action, k)) for k in (key, jax.random.split(key)[1])]
    changes = [_difference(numbers, found, TOLERANCE) for numbers in expected]
    rule, advice = "step_or_reset steps as step does", "call step where is_reset is False."
    trial.require(_difference(*expected) or not all(changes), rule, f"{changes[0]}", advice)


def _check_vmap(trial: _Trial) -> None:
    states = [trial.reset(trial.next_key())[0] for _ in range(3)]
    actions, keys = ([draw() for _ in states] for draw in (trial.next_action, trial.next_key))
    rows = list(zip(states, actions, keys, jnp.arange(3) == 1, jnp.zeros(3), strict=True))
    one_by_one = _stack([trial.step_or_reset(*row) for row in rows])
    together = jax.jit(jax.vmap(trial.environment.step_or_reset))(*_stack(rows))
    rule, advice = "jax.vmap equals a loop", "give custom operations a batching rule."
    trial.require_same(_numbers(one_by_one), _numbers(together), rule, advice, TOLERANCE)


def _stack(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _types(tree: Any) -> dict[str, str]:
    """Returns the dtype and shape of each leaf by its path, as in `float32[3]`."""
    leaves = jax.tree_util.tree_leaves_with_path(jax.eval_shape(lambda: tree))
    return {jax.tree_util.keystr(path): f"{x.dtype}{list(x.shape)}" for path, x in leaves}


def _numbers(tree: Any) -> dict[str, np.ndarray]:
    """Returns a copy of each leaf by its path; of typed keys, their words."""
    leaves = ((jax.tree_util.keystr(p), x) for p, x in jax.tree_util.tree_leaves_with_path(tree))
    return {p: np.array(jax.random.key_data(x) if is_key(x) else x) for p, x in leaves}


def _difference(before: dict, after: dict, tolerance: float | None = None) -> str | None:
    """Returns the first entry that differs, and how; numbers are compared by a tolerance."""
    for name in before | after:
        x, y = before.get(name, "not there"), after.get(name, "not there")
        if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
            is_same = np.allclose(x, y, tolerance or 0, tolerance or 0, equal_nan=True)
        else:
            is_same = x is y or x == y
        if not is_same:
            return f"{name or 'the result'} is {x}, then {y}"
    return None
