"""Checks that an algorithm keeps the contract of `Algorithm`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from jaxtyping import Array, Key

from ksim.envs import DiscreteActions, Environment
from ksim.parallel import Partitioner, Traffic
from ksim.rl import Algorithm, Decision, Iteration, Policy
from ksim.testing.algorithm_learning import check_learning
from ksim.testing.algorithm_trial import AlgorithmTrial
from ksim.testing.rules import numbers

SAME = 1e-5  # for the same call compiled in two ways: relative, and absolute below 1


def check_algorithm(
    algorithm: Algorithm,
    environment: Environment,
    model: Any,
    *,
    num_envs: int = 8,
    num_steps: int = 8,
    is_observation_normalized: bool = True,
    partitioner: Partitioner | None = None,
    tolerance: float | None = 1e-4,
    seed: int = 0,
) -> None:
    """Checks that an algorithm keeps the rules of `Algorithm`, one after the other.

    First what it makes, which costs little; then it acts and learns for two iterations, on one
    device and, where JAX has several, on two: `jax.config.update("jax_num_cpu_devices", 2)` gives
    them to a CPU.

    Args:
      algorithm: the algorithm; of a task, `task.algorithm`.
      environment: one copy of an environment whose actions it can take: a small one is enough.
      model: what `init` is given; of a task, `task._get_initial_model(key)`.
      num_envs: environments over all devices.
      num_steps: control steps of a rollout that `iteration` is asked for.
      is_observation_normalized: whether there is a normalizer.
      partitioner: runs it on several devices, by default as `pmap` over the axis "device"; give
        `task.partitioner` if devices share parameters, or their axis has another name.
      tolerance: of the learner and the memory beside those of one device, after an iteration:
        relative, and absolute below 1. `None` where they are meant to differ, as with local SGD.
      seed: of all random numbers.

    Raises:
      TypeError: if something is not of the type that the contract names.
      ValueError: if a metric has the name of one that every run logs.
      AssertionError: if another rule is broken. Each names the first broken rule, says what was
        found and what to write instead.
    """
    trial = AlgorithmTrial(algorithm, environment, num_envs, is_observation_normalized)
    key = jax.random.key(seed)
    with trial.functions_of_arrays(memory="learner"):
        _check_iteration(trial, num_steps)
        _check_init(trial, model, key)
        _check_specs(trial)
        _check_acting_part(trial)
        _check_initial_memory(trial)
        _check_counts(trial)
        _check_policy(trial, key)
        check_learning(trial, partitioner, tolerance, key)


def _check_iteration(trial: AlgorithmTrial, num_steps: int) -> None:
    iteration = trial.algorithm.iteration(num_steps)
    rule, advice = "an iteration is counted", "write ksim.Iteration(num_steps, num_updates)."
    found = f"iteration({num_steps}) is {iteration!r:.120}"
    trial.require(isinstance(iteration, Iteration), rule, found, advice, TypeError)
    for name, least in (("num_steps", 1), ("num_updates", 1), ("num_acting_only", 0)):
        count = getattr(iteration, name)
        is_count = type(count) is int and count >= least
        advice = f"give {name} as a whole number of {least} or more, known before anything runs."
        trial.require(is_count, rule, found, advice)
    trial.iteration = iteration


def _check_init(trial: AlgorithmTrial, model: Any, key: Key[Array, ""]) -> None:
    init = trial.algorithm.init
    before = numbers(model)
    first = numbers(init(model, key))
    rule, advice = "init changes no argument", "make new arrays and objects."
    trial.require_same(before, numbers(model), rule, advice)
    rule, advice = "init is deterministic", "draw from `key`, and keep nothing in `self`."
    trial.require_same(first, numbers(init(model, key)), rule, advice)
    trial.learner = jax.jit(lambda key: init(model, key))(key)
    rule, advice = "init can be compiled", "do not ask whether arrays are traced."
    trial.require_same(first, numbers(trial.learner), rule, advice, SAME)


def _check_specs(trial: AlgorithmTrial) -> None:
    learner = trial.learner
    shapes = jax.eval_shape(lambda: learner)
    specs = trial.algorithm.specs(shapes)
    rule, advice = "specs has the learner's structure", "change fields of super().specs(learner)."
    structures = [jax.tree.structure(tree) for tree in (specs, learner)]
    found = f"{structures[0]!s:.200} is not {structures[1]!s:.200}"
    trial.require(len(set(structures)) == 1, rule, found, advice)
    wrong = [leaf for leaf in jax.tree.leaves(specs) if not isinstance(leaf, PartitionSpec)]
    found, advice = f"it has {wrong[:1]!r:.80}", "write jax.sharding.PartitionSpec() for each leaf."
    trial.require(not wrong, "specs is of PartitionSpecs", found, advice, TypeError)
    is_same = jax.tree.leaves(trial.algorithm.specs(learner)) == jax.tree.leaves(specs)
    rule, found = "specs follows from shapes alone", "arrays have others than their shapes"
    trial.require(is_same, rule, found, "decide by leaf.shape.")


def _check_acting_part(trial: AlgorithmTrial) -> None:
    """Takes the part of a learner whose leaves are names, as runs do of one of `PartitionSpec`s."""
    algorithm = trial.algorithm

    def names(mark: str) -> Any:
        return jax.tree_util.tree_map_with_path(
            lambda path, _: PartitionSpec(f"{jax.tree_util.keystr(path)}{mark}"), trial.learner
        )

    try:
        part = algorithm.acting_part(names(""))
        put_back = algorithm.with_acting_part(names(""), part)
        other = algorithm.acting_part(names(" of another"))
        found_again = algorithm.acting_part(algorithm.with_acting_part(names(""), other))
    except Exception as error:
        rule, found = "acting_part picks leaves", f"{type(error).__name__}: {error}"
        advice = "compute nothing there: it is asked of PartitionSpecs, too."
        trial.require(False, rule, found, advice, TypeError)
    rule = "with_acting_part puts back what acting_part takes"
    advice = "replace those fields of the learner, and no others."
    for expected, found_part in ((names(""), put_back), (other, found_again)):
        missing = _first_difference(expected, found_part)
        trial.require(missing is None, rule, f"{missing}", advice)


def _first_difference(expected: Any, found: Any) -> str | None:
    structures = [jax.tree.structure(tree) for tree in (found, expected)]
    if len(set(structures)) > 1:
        return f"{structures[0]!s:.200} is not {structures[1]!s:.200}"
    first, second = (jax.tree_util.tree_leaves_with_path(tree) for tree in (expected, found))
    for (path, leaf), (_, other) in zip(first, second, strict=True):
        if leaf != other:
            return f"{jax.tree_util.keystr(path) or 'the part'} comes back as {other}"
    return None


def _check_initial_memory(trial: AlgorithmTrial) -> None:
    make: Callable[[], Any] = lambda: trial.algorithm.initial_memory(  # noqa: E731
        trial.environment, trial.num_envs
    )
    memory = make()
    for path, leaf in jax.tree_util.tree_leaves_with_path(memory):
        rule, shape = "a memory begins with the axis of environments", list(np.shape(leaf))
        found = f"{jax.tree_util.keystr(path) or 'it'} is {shape} with num_envs={trial.num_envs}"
        advice = (
            "write jnp.zeros((num_envs, capacity, ...)), and keep in the learner what belongs to no"
            " environment."
        )
        trial.require(shape[:1] == [trial.num_envs], rule, found, advice)
    rule, advice = "initial_memory is deterministic", "draw nothing: there is no key."
    trial.require_same(numbers(memory), numbers(make()), rule, advice)
    trial.memory = jax.jit(make)()
    rule, advice = "initial_memory can be compiled", "do not ask whether arrays are traced."
    trial.require_same(numbers(memory), numbers(trial.memory), rule, advice, SAME)


def _check_counts(trial: AlgorithmTrial) -> None:
    traffic = trial.algorithm.traffic(jax.eval_shape(lambda: trial.learner))
    rule, found = "traffic is a Traffic, or None", f"it is {traffic!r:.80}"
    advice = "return self.updates.traffic(network, num_updates), or leave it out."
    trial.require(isinstance(traffic, Traffic | None), rule, found, advice, TypeError)
    samples = trial.algorithm.num_samples(trial.num_envs * trial.iteration.num_steps)
    rule, found = "num_samples is a whole number, or None", f"it is {samples!r:.80}"
    is_count = samples is None or (type(samples) is int and samples > 0)
    trial.require(is_count, rule, found, "count samples, all passes together.", TypeError)


def _check_policy(trial: AlgorithmTrial, key: Key[Array, ""]) -> None:
    """Traces a policy with a normalizer and without, and tries what it draws."""
    algorithm, learner = trial.algorithm, trial.learner
    shapes = trial.environment.observation_shapes()
    keys = jax.random.split(key, len(shapes))
    observations = {
        name: jax.random.normal(own, shape)
        for own, (name, shape) in zip(keys, shapes.items(), strict=True)
    }
    for normalizer in (None, trial.normalizer):
        jax.eval_shape(
            lambda flag, normalizer=normalizer: _check_decisions(
                trial, algorithm.policy(learner, normalizer, flag), observations, key
            ),
            jnp.bool_(False),
        )

    def decide(is_deterministic: bool, key: Key[Array, ""]) -> Any:
        policy = trial.policy(learner, is_deterministic)
        return numbers(policy.act(observations, policy.initial_carry(), key)._asdict())

    first, other = jax.random.split(key)
    rule, advice = (
        "the same decision gives the same",
        "draw from `key`, and keep nothing in `self`.",
    )
    trial.require_same(decide(False, first), decide(False, first), rule, advice)
    one, another = (
        {name: x for name, x in decide(True, own).items() if name.startswith("['action']")}
        for own in (first, other)
    )
    rule = "a deterministic policy does not explore"
    advice = "choose by is_deterministic, with jnp.where, between the best action and a draw."
    trial.require_same(one, another, rule, advice)


def _check_decisions(
    trial: AlgorithmTrial, policy: Any, observations: dict[str, Array], key: Key[Array, ""]
) -> None:
    """Checks the types of what a policy decides, reviews and concludes."""
    rule, found = "policy returns a Policy", f"it returns {policy!r:.80}"
    advice = "derive its class from ksim.Policy, and make it a pytree: @flax.struct.dataclass."
    trial.require(isinstance(policy, Policy), rule, found, advice, TypeError)
    carry = policy.initial_carry()
    decision = policy.act(observations, carry, key)
    found = f"act returns {decision!r:.120}"
    rule, advice = "act returns a Decision", "write `return ksim.Decision(action, carry, kept)`."
    trial.require(isinstance(decision, Decision), rule, found, advice, TypeError)
    rule, advice = "a policy's carry keeps its types", "let act return what initial_carry returns."
    trial.require_same_types(carry, decision.carry, rule, advice, TypeError)
    _check_action(trial, decision.action)
    rows = jax.tree.map(lambda x: jnp.broadcast_to(x, (2, 1, *x.shape)), observations)
    carries = jax.tree.map(lambda x: jnp.expand_dims(x, 0), carry)
    reviewed = policy.review(rows, carries, jnp.ones((2, 1), bool))
    concluded = policy.conclude(observations, carry)
    for name, kept in (("act", decision.kept), ("review", reviewed), ("conclude", concluded)):
        is_named = isinstance(kept, dict) and len(jax.tree.leaves(kept)) == len(kept)
        rule, found = "what is kept is arrays by name", f"{name} keeps {kept!r:.120}"
        trial.require(is_named, rule, found, 'write {"value": value}, or {}.', TypeError)
    for name, x in reviewed.items():
        rule, found = "review keeps all steps of all environments", f"{name} is {list(x.shape)}"
        advice = f"return [T, num_envs, ...]: [2, 1, ...] of observations {[2, 1]}."
        trial.require(x.shape[:2] == (2, 1), rule, found, advice, TypeError)
    twice = sorted(decision.kept.keys() & reviewed.keys())
    rule, found = "what is kept has one name each", f"act and review both keep {twice}"
    trial.require(not twice, rule, found, "give one of them another name.")


def _check_action(trial: AlgorithmTrial, action: Any) -> None:
    space = trial.environment.action_space
    wanted: Any = ((), jnp.int32)
    if not isinstance(space, DiscreteActions):
        wanted = ((space.size,), jnp.float32)
    found = (jnp.shape(action), jnp.result_type(action))
    shown, needed = (f"{jnp.dtype(dtype).name}{list(shape)}" for shape, dtype in (found, wanted))
    rule, advice = "an action is one of the environment", f"give {needed}, for {space}."
    trial.require(found == wanted, rule, f"act gives {shown}", advice, TypeError)
