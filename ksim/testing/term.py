"""Checks that a term keeps the contract of its family."""

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Key

from ksim.config import unknown_name_message
from ksim.envs.mujoco.term_values import broken_rule, describe
from ksim.physics import FieldsRead, PhysicsModel, ReadRecorder, check_computed
from ksim.physics.computed_fields import is_floating
from ksim.terms.actuators.base import Actuators
from ksim.terms.curricula.base import Curriculum
from ksim.terms.randomizers.base import Randomizer
from ksim.terms.rewards.base import Reward
from ksim.terms.term import Carry, Term
from ksim.terms.terminations.base import Termination
from ksim.testing.rules import difference, numbers
from ksim.testing.term_memories import check_memories
from ksim.testing.term_trial import NUM_WORLDS, TermTrial
from ksim.testing.term_worlds import World, make_world, stack

TOLERANCE = 1e-5  # for the same call compiled in two ways: relative, and absolute below 1
UNBOUNDED = (-np.inf, np.inf)


def check_term(
    term: Term,
    model: PhysicsModel,
    *,
    commands: Mapping[str, int] | None = None,
    terminations: Sequence[str] = (),
    action_size: int | None = None,
    value_range: tuple[float, float] = UNBOUNDED,
    seed: int = 0,
) -> None:
    """Checks that a term keeps the rules of its family, one after the other.

    It is called in three environments, twice in each with the memory of the first call: eagerly
    one by one, and compiled all at once. Their robots are in different random poses about the first
    keyframe, or `qpos0`, and move. So are the methods that remember beyond an episode.

    Args:
      term: the term, of any family.
      model: the robot that it was made for.
      commands: numbers of each command that it reads, by name, as in `{"linear_velocity": 2}`.
      terminations: names of the terminations that it reads of episodes that ended.
      action_size: numbers in an action of the task; by default one for each control.
      value_range: the lowest and the highest value that the term promises.
      seed: of states and keys.

    Raises:
      TypeError: if something is not of the type that the contract names.
      KeyError: if the term reads a command that is not in `commands`.
      AssertionError: if another rule is broken. Each names the first broken rule, says what was
        found and what to write instead.
    """
    trial = TermTrial(term)
    with trial.functions_of_arrays(memory="carry"):
        _check_is_a_value(trial)
        _check_members(trial, model.mj_model)
        size = action_size or model.mj_model.nu
        if isinstance(term, Actuators):
            size = max(size, term.action_size)
        names = term.fields if isinstance(term, Randomizer) else ()
        trial.worlds = [
            make_world(
                model, commands or {}, terminations, size, names, np.random.default_rng((seed, i))
            )
            for i in range(NUM_WORLDS)
        ]
        trial.keys = jax.random.split(jax.random.key(seed), (3, NUM_WORLDS))
        trial.run_memory = term.init_run(trial.keys[0, 0])
        _check_types(trial, model.mj_model)
        _check_purity(trial)
        _check_steps(trial, value_range)
        check_memories(trial)


def _check_is_a_value(trial: TermTrial) -> None:
    term = trial.term
    rule = "a term is a frozen dataclass of plain values"
    advice = (
        "write @dataclasses.dataclass(frozen=True, kw_only=True) above the class, and tuples,"
        " numbers and names in its fields."
    )
    try:
        twin = copy.copy(term)
        # A number that is not one is equal to itself in a tuple alone, and has a rule of its own.
        is_value = hash(twin) == hash(term) and (
            twin == term or tuple(vars(twin).values()) == tuple(vars(term).values())
        )
    except (TypeError, ValueError) as error:
        trial.require(False, rule, f"{error}", advice, TypeError)
    found = "a copy of it is not equal to it"
    trial.require(is_value, rule, found, advice, TypeError)


def _check_members(trial: TermTrial, mj_model: mujoco.MjModel) -> None:
    """Checks what a term says beside its values, and of the model that it changes or drives."""
    term = trial.term
    if isinstance(term, Reward):
        scale = np.asarray(term.scale)
        is_number = scale.ndim == 0 and np.issubdtype(scale.dtype, np.number)
        rule, found = "a scale is a finite number", f"scale is {term.scale!r}"
        advice = "write scale=1.0, or scale=-1.0 for a penalty."
        trial.require(is_number and np.isfinite(scale), rule, found, advice)
    if isinstance(term, Termination):
        rule, found = "is_time_out is True or False", f"it is {term.is_time_out!r:.80}"
        advice = "say it of the class, in a property: it is the same for all episodes."
        trial.require(isinstance(term.is_time_out, bool), rule, found, advice, TypeError)
    if isinstance(term, Randomizer):
        _check_fields(trial, term.fields, mj_model)
    if isinstance(term, Actuators):
        ids = term.ctrl_ids
        wrong = [i for i in ids if i not in range(mj_model.nu) or ids.count(i) > 1]
        rule, found = "ctrl_ids are controls of the model", f"the model has {mj_model.nu}"
        advice = f"write ids from 0 to {mj_model.nu - 1}, each once."
        trial.require(not wrong, rule, f"{found}, and ctrl_ids are {ids}", advice)
        term.configure(copy.copy(mj_model))


def _check_fields(trial: TermTrial, fields: Sequence[str], mj_model: mujoco.MjModel) -> None:
    known = [name for name in dir(mj_model) if is_floating(getattr(mj_model, name))]
    advice = "name fields of mjModel, as MuJoCo calls them."
    rule = "fields are numbers of the model"
    is_tuple = isinstance(fields, tuple) and len(fields) > 0
    trial.require(is_tuple, rule, f"fields are {fields!r:.80}", advice, TypeError)
    for name in fields:
        found = unknown_name_message(name, known, kind="field", place="in mjModel")
        trial.require(name in known, rule, found, advice)


def _check_types(trial: TermTrial, mj_model: mujoco.MjModel) -> None:
    """Traces two calls, which compiles nothing, and records what they read."""
    read = FieldsRead()

    def call_twice(world: World, keys: Key[Array, "3"]) -> None:
        recorder = ReadRecorder(world.state.physics, read)  # type: ignore[abstract]
        world = world._replace(state=dataclasses.replace(world.state, physics=recorder))
        carry = trial.new_carry(keys[0])
        for key in keys[1:]:
            carry = _checked_carry(trial, trial.call(world, carry, key), carry)

    jax.eval_shape(call_twice, trial.worlds[0], trial.keys[:, 0])
    try:
        check_computed(mj_model, read.names)
    except ValueError as error:
        rule, advice = "fields that are read are computed", "change the model, or read others."
        trial.require(False, rule, f"{error}".rstrip("."), advice)


def _checked_carry(trial: TermTrial, result: Any, carry: Carry) -> Carry:
    """Returns the carry of a call, if value and carry are of the types that they should be."""
    is_pair = type(result) is tuple and len(result) == 2
    rule, found = "a call returns its value and its carry", f"it returns {describe(result)}"
    trial.require(is_pair, rule, found, "write `return value, carry`.", TypeError)
    value, moved_on = result
    _check_value(trial, value)
    rule = "a carry keeps its structure, shapes and dtypes"
    advice = "let the call return what init returns, or the carry that came."
    trial.require_same_types(carry, moved_on, rule, advice, TypeError)
    return moved_on


def _check_value(trial: TermTrial, value: Any) -> None:
    """Checks the type of what a call returned beside the carry."""
    # A level is a single number, as a reward is.
    family = "rewards" if trial.kind is Curriculum else trial.family.name
    advice = broken_rule(family, trial.term, value, trial.family.like(trial.worlds[0]))
    rule, found = "a value is one of its family", f"it returns {describe(value)}"
    trial.require(advice is None, rule, found, f"{advice}"[:1].lower() + f"{advice}"[1:], TypeError)
    wanted = jnp.dtype(jnp.bool_ if trial.kind is Termination else jnp.float32)
    for path, leaf in jax.tree_util.tree_leaves_with_path(value):
        dtype = jnp.result_type(leaf)
        found = f"the value{jax.tree_util.keystr(path)} is {dtype.name}"
        advice = f"write value.astype(jnp.{wanted.name})."
        trial.require(dtype == wanted, f"values are {wanted.name}", found, advice, TypeError)


def _check_purity(trial: TermTrial) -> None:
    """Calls the term twice alike, and looks whether anything that it was given has changed."""
    carries = [trial.new_carry(trial.keys[0, 0]) for _ in range(2)]
    advice = "draw from `key`, and remember in the carry."
    rule = "the same call gives the same"
    trial.require_same(numbers({"init": carries[0]}), numbers({"init": carries[1]}), rule, advice)
    arguments = (trial.worlds[0], carries[0], trial.keys[1, 0])
    before = numbers(arguments)
    first = numbers(trial.call(*arguments))
    changes = "make new arrays and dictionaries: x.at[i].set(y), {**fields, name: y}."
    trial.require_same(before, numbers(arguments), "a call changes no argument", changes)
    trial.require_same(first, numbers(trial.call(*arguments)), rule, advice)


def _check_steps(trial: TermTrial, value_range: tuple[float, float]) -> None:
    """Compares two steps of all environments, one by one, with the same compiled for all."""
    init_keys, first_keys, second_keys = trial.keys
    worlds, next_worlds = trial.worlds, trial.worlds[1:] + trial.worlds[:1]

    def one_by_one(call: Callable[..., Any]) -> tuple[list[Any], list[Any]]:
        carries = [trial.new_carry(key) for key in init_keys]
        first = list(map(call, worlds, carries, first_keys))
        return first, list(map(call, next_worlds, [carry for _, carry in first], second_keys))

    eager = one_by_one(trial.call)
    for value, _ in (*eager[0], *eager[1]):
        _check_numbers(trial, value, value_range)

    call_all = trial.counted(jax.vmap(trial.call))
    first = call_all(stack(worlds), jax.jit(jax.vmap(trial.new_carry))(init_keys), first_keys)
    second = call_all(stack(next_worlds), first[1], second_keys)
    expected = numbers(tuple(map(stack, eager)))
    if difference(expected, numbers((first, second)), TOLERANCE) is not None:
        compiled = numbers(tuple(map(stack, one_by_one(jax.jit(trial.call)))))
        rule = "a call can be compiled"
        advice = "do not ask whether arrays are traced, nor for Python's numbers of them."
        trial.require_same(expected, compiled, rule, advice, TOLERANCE)
        rule, advice = "jax.vmap equals a loop", "give custom operations a batching rule."
        trial.require_same(compiled, numbers((first, second)), rule, advice, TOLERANCE)
    rule, found = "one compilation serves all calls", f"two calls need {trial.num_traces}"
    advice = "give the numbers that init returns a dtype, as in jnp.float32(0)."
    trial.require(trial.num_traces == 1, rule, found, advice)


def _check_numbers(trial: TermTrial, value: Any, value_range: tuple[float, float]) -> None:
    """Checks that values are finite, and as small and large as promised."""
    lowest, highest = value_range
    if isinstance(trial.term, Curriculum):
        lowest, highest = max(lowest, 0.0), min(highest, 1.0)
        value = [value, trial.term.initial_level]
    for path, x in numbers(value).items():
        found = f"the value{path} is {x}"
        advice = "look for divisions by 0, and for roots and logarithms of negative numbers."
        trial.require(np.isfinite(x).all(), "values are finite", found, advice)
        is_within = np.all((x >= lowest - TOLERANCE) & (x <= highest + TOLERANCE))
        rule = f"values lie between {lowest:g} and {highest:g}"
        advice = "clip the value, or promise another value_range."
        trial.require(is_within, rule, found, advice)
