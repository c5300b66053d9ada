"""Checks that an environment keeps the contract that training relies on."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from ksim.envs import DiscreteActions, Environment, Timestep, hardest
from ksim.envs.type_check import check_environment_types
from ksim.testing.rules import Trial, difference, numbers
from ksim.training.metrics import check_metric_names

TOLERANCE = 1e-4  # for the same step compiled in two ways: relative, and absolute below 1


def check_environment(environment: Environment, num_steps: int = 100, seed: int = 0) -> None:
    """Checks that an environment keeps the rules of `Environment`, one after the other.

    First types and shapes, which costs no compilation; then `reset`, `step` and `step_or_reset`
    run eagerly, compiled and vmapped.

    Args:
      environment: one copy of the environment.
      num_steps: steps of the longest trial, which starts a new episode where one has ended; they
        should be enough for some episodes to end.
      seed: seed of the keys and actions; actions are standard normal, or uniform over the choices.

    Raises:
      TypeError: if a type is not that of the contract.
      ValueError: if `ctrl_dt` is not a time.
      AssertionError: if another rule is broken. Each names the first broken rule, says what was
        found and what to write instead.
    """
    trial = _Trial(environment, jax.random.key(seed))
    with trial.functions_of_arrays(memory="state"):
        check_metric_names(environment, check_environment_types(environment).metrics)
        _check_declared_types(trial)
        _check_purity(trial)
        _check_episodes(trial, num_steps)
        _check_new_episode(trial)
        _check_step_or_reset(trial)
        _check_vmap(trial)


class _Trial(Trial):
    """An environment under trial, and the keys and actions to try it with."""

    def __init__(self, environment: Environment, key: Key[Array, ""]) -> None:
        super().__init__(type(environment.unwrapped).__name__)
        self.environment, self._key = environment, key
        self.reset, self.step = jax.jit(environment.reset), jax.jit(environment.step)
        self.step_or_reset = self.counted(environment.step_or_reset)

    def next_key(self) -> Key[Array, ""]:
        self._key, key = jax.random.split(self._key)
        return key

    def next_action(self) -> Array:
        space = self.environment.action_space
        if isinstance(space, DiscreteActions):
            return jax.random.randint(self.next_key(), (), 0, space.count, jnp.int32)
        return jax.random.normal(self.next_key(), (space.size,))


def _check_declared_types(trial: _Trial) -> None:
    environment, key = trial.environment, trial.next_key()
    state, observations = jax.eval_shape(trial.environment.reset, key)
    declared = {name: tuple(shape) for name, shape in environment.observation_shapes().items()}
    actual = {name: array.shape for name, array in observations.items()}
    advice = "leave the method out: the default is right."
    trial.require_same(actual, declared, "observation_shapes is right", advice)
    initial, rule = environment.initial_state(), "initial_state is like a state of reset"
    trial.require_same_types(state, initial, rule, advice)
    arguments, start = (state, trial.next_action(), key), (jnp.bool_(True), hardest())
    either = jax.eval_shape(trial.environment.step_or_reset, *arguments, *start)
    rule, advice = "step_or_reset returns what step returns", "return the same structure."
    trial.require_same_types(
        jax.eval_shape(trial.environment.step, *arguments), either, rule, advice
    )


def _check_purity(trial: _Trial) -> None:
    environment, (state, _) = trial.environment, trial.reset(trial.next_key())
    for method, jitted, arguments in (
        (environment.reset, trial.reset, (trial.next_key(),)),
        (environment.step, trial.step, (state, trial.next_action(), trial.next_key())),
    ):
        name, before = method.__name__, numbers(arguments)
        first = numbers(method(*arguments))
        advice = "make a new state: state.replace(x=x) or {**state, 'x': x}."
        trial.require_same(before, numbers(arguments), f"{name} changes no argument", advice)
        compiled, rule = numbers(jitted(*arguments)), f"{name} is pure and can be compiled"
        advice = "draw from `key`, count in the state, and do not ask whether arrays are traced."
        trial.require_same(first, compiled, rule, advice, TOLERANCE)


def _check_episodes(trial: _Trial, num_steps: int) -> None:
    draws = [(trial.next_action(), trial.next_key()) for _ in range(num_steps)]
    used, timesteps = _roll(trial, trial.environment.initial_state(), draws)
    for index, timestep in enumerate(timesteps):
        broken = [name[1:] for name, x in numbers(timestep).items() if not np.isfinite(x).all()]
        rule, found = "numbers are finite", f"not {', '.join(broken)} in step {index}"
        advice = "look for divisions by 0, and for roots and logarithms of negative numbers."
        trial.require(not broken, rule, found, advice)
    rule, found = "one compilation serves all calls", f"step_or_reset needs {trial.num_traces}"
    advice = "give the numbers in the state a dtype from the start, as in jnp.float32(0)."
    trial.require(trial.num_traces <= 1, rule, found, advice)
    if trial.environment.has_memory:
        return
    # States are not compared: their fields may be computed again before they are read.
    again = numbers(_roll(trial, used, draws)[1])
    rule, advice = "a new episode forgets the last one", "build its state from `key` alone."
    trial.require_same(numbers(timesteps), again, rule, advice)


def _check_new_episode(trial: _Trial) -> None:
    keys, action = (trial.next_key(), trial.next_key()), trial.next_action()
    state = trial.environment.initial_state()
    first, other = (_roll(trial, state, [(action, key)])[1][0] for key in keys)
    flags = [first.reward, first.is_terminated, first.is_truncated, first.terminations]
    rule, found = "a new episode begins without reward and flags", f"found {numbers(flags)}"
    trial.require(not any(numbers(flags).values()), rule, found, "return 0 and False there.")
    resets = (numbers(trial.reset(keys[0])), numbers(trial.reset(keys[1])))
    is_kept = not difference(*resets) or difference(numbers(first), numbers(other))
    rule, found = "new episodes differ as resets do", "step_or_reset starts all episodes alike"
    trial.require(is_kept, rule, found, "draw the start from `key`.")


def _check_step_or_reset(trial: _Trial) -> None:
    (state, _), action, key = trial.reset(trial.next_key()), trial.next_action(), trial.next_key()
    found = numbers(trial.step_or_reset(state, action, key, jnp.bool_(False), hardest()))
    # The step may get the key itself, or the one that the default of step_or_reset derives from it.
    # The result of a random step with still another key is unknown.
    own = numbers(trial.step(state, action, key))
    split = numbers(trial.step(state, action, jax.random.split(key)[1]))
    change = difference(own, found, TOLERANCE) and difference(split, found, TOLERANCE)
    rule, advice = "step_or_reset steps as step does", "call step where is_reset is False."
    trial.require(not change or difference(own, split), rule, f"{change}", advice)


def _check_vmap(trial: _Trial) -> None:
    stack = functools.partial(jax.tree.map, lambda *rows: jnp.stack(rows))
    states = [trial.reset(trial.next_key())[0] for _ in range(3)]
    actions, keys = ([draw() for _ in states] for draw in (trial.next_action, trial.next_key))
    rows = list(zip(states, actions, keys, jnp.arange(3) == 1, [hardest()] * 3, strict=True))
    one_by_one = stack(*(trial.step_or_reset(*row) for row in rows))
    together = jax.jit(jax.vmap(trial.environment.step_or_reset))(*stack(*rows))
    rule, advice = "jax.vmap equals a loop", "give custom operations a batching rule."
    trial.require_same(numbers(one_by_one), numbers(together), rule, advice, TOLERANCE)


def _roll(trial: _Trial, state: Any, draws: list[Any]) -> tuple[Any, list[Timestep]]:
    """Starts an episode, and steps on; returns the last state and all timesteps."""
    is_reset, timesteps = jnp.bool_(True), []
    for action, key in draws:
        state, timestep = trial.step_or_reset(state, action, key, is_reset, hardest())
        is_reset = timestep.is_terminated | timestep.is_truncated
        timesteps.append(timestep)
    return state, timesteps
