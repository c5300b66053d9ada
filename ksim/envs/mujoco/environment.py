"""A robot in MuJoCo: a physics engine, and terms that make up the task."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from ksim.envs.environment import (
    ContinuousActions,
    Environment,
    RunContext,
    Timestep,
    hardest,
)
from ksim.envs.mujoco.state import (
    EpisodeRecord,
    MujocoState,
    episode_end,
    new_record,
    record_after,
    step_state,
)
from ksim.envs.mujoco.term_keys import TermKeys
from ksim.envs.mujoco.term_memories import Carries, TermMemories
from ksim.envs.mujoco.term_values import checked
from ksim.envs.mujoco.terms import DIVERGED, MujocoTerms, check_terms
from ksim.physics import (
    EpisodeStart,
    FieldsRead,
    ModelFields,
    PhysicsData,
    PhysicsEngine,
    PhysicsModel,
    ReadRecorder,
    check_computed,
)
from ksim.terms.term import StepState, TrainingProgress
from ksim.xla.rows import replace_rows

Key0 = Key[Array, ""]


class MujocoEnvironment(Environment):
    """Steps a robot and evaluates the terms of a task on it.

    A control step is: actions become controls, events give their push, the engine advances (or
    starts an episode), then rewards and terminations are judged by the commands that the policy
    saw, commands advance, and observations are taken.

    A simulation that diverges (a position or a velocity beyond `mujoco.mjMAXVAL`, 1e10, or not a
    number) ends its episode as a failure with reward 0, counted as `termination/diverged`; other
    environments are not affected. Rewards may be absurd in the steps before:
    `BadVelocityTermination` ends such episodes early.
    """

    def __init__(self, model: PhysicsModel, engine: PhysicsEngine, terms: MujocoTerms) -> None:
        check_terms(terms, model.mj_model.nu)
        self.model = model
        self.engine = engine
        self.terms = terms
        self.ctrl_dt = model.ctrl_dt
        names = [name for term in terms.randomizers.values() for name in term.fields]
        self._default_fields = engine.model_fields(tuple(sorted(set(names))))
        self._default_start = _default_start(model)
        self._memories = TermMemories(terms.families())
        fields, self._shapes = self._traced_terms()
        check_computed(model.mj_model, fields)
        self.engine = engine.reading(fields)

    def _traced_terms(self) -> tuple[set[str], "_Shapes"]:
        """Calls every term once, since tracing a robot takes a while.

        Returns:
          The fields of `mjData` that the terms read, and the shapes of the terms' values.

        Raises:
          TypeError: if a term returns something other than its family does.
        """
        fields = FieldsRead()

        def call_every_term(key: Key0) -> _Shapes:
            keys = TermKeys.split(key, self.terms.families())
            memories = self._memories.init(keys.initial)
            context = hardest(self.initial_run_memory(key))
            carries = self._memories.begin(memories, context.memory, keys.initial)
            commands, carries = self._first_commands(carries, memories, keys)
            state = self._state(carries, commands, memories)
            recorder = ReadRecorder(state.physics, fields)  # type: ignore[abstract]
            state = dataclasses.replace(state, physics=recorder)
            self._controls(state.action, recorder, carries, keys)
            read = step_state(state, jnp.float32(0), self.ctrl_dt)
            self._evaluate("rewards", read, carries)
            flags, _ = self._evaluate("terminations", read, carries)
            for family in ("events", "commands"):
                self._evaluate(family, read, carries, keys)
            observations, _ = self._evaluate("observations", read, carries, keys)
            record = new_record({**flags, DIVERGED: jnp.bool_(False)})
            state = dataclasses.replace(state, record=record)
            memories, _ = self._after_episode(state, context)
            self._fresh_episode(keys, context, state, memories)
            return _Shapes(carries, commands, observations, memories, record)

        shapes = jax.eval_shape(call_every_term, jax.random.key(0))
        return fields.names, shapes

    @property
    def action_space(self) -> ContinuousActions:
        """The concatenated actions of all actuator terms."""
        return ContinuousActions(sum(term.action_size for term in self.terms.actuators.values()))

    @property
    def physics_model(self) -> PhysicsModel:
        """See `Environment.physics_model`."""
        return self.model

    @property
    def physics_description(self) -> str:
        """See `Environment.physics_description`; the engine's."""
        return self.engine.description

    @property
    def compiler_options(self) -> Mapping[str, Any]:
        """See `Environment.compiler_options`; the engine's."""
        return self.engine.compiler_options

    def initial_state(self) -> MujocoState:
        """See `Environment.initial_state`."""
        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), self._shapes)
        record = nothing.record if self.has_memory else None
        return self._state(nothing.carries, nothing.commands, nothing.memories, record)

    @property
    def has_memory(self) -> bool:
        """See `Environment.has_memory`: true if a term has a memory that outlives episodes."""
        return self._memories.has_any

    def first_state(self, key: Key0) -> MujocoState:
        """See `Environment.first_state`: draws the terms' memories of the environment."""
        keys = TermKeys.split(key, self.terms.families())
        memories = self._memories.init(keys.initial)
        return dataclasses.replace(self.initial_state(), memories=memories)

    def initial_run_memory(self, key: Key0) -> Any:
        """See `Environment.initial_run_memory`: the terms' memories of the run."""
        return self._memories.init_run(key)

    def after_rollout(self, run_memory: Any, contributions: Any, progress: TrainingProgress) -> Any:
        """See `Environment.after_rollout`."""
        return self._memories.after_rollout(run_memory, contributions, progress)

    def reset(self, key: Key0) -> tuple[MujocoState, dict[str, Array]]:
        """See `Environment.reset`: of a new environment in a new run, at the highest level, 1."""
        memory_key = jax.random.fold_in(key, 0xFFFFFFFF)  # the key itself is split for the terms
        state = self.first_state(memory_key) if self.has_memory else self.initial_state()
        context = hardest(self.initial_run_memory(jax.random.fold_in(memory_key, 0xFFFFFFFF)))
        state, timestep = self.step_or_reset(state, state.action, key, jnp.bool_(True), context)
        return state, timestep.observations

    def step(self, state: MujocoState, action: Array, key: Key0) -> tuple[MujocoState, Timestep]:
        """See `Environment.step`; at the curriculum's highest level, 1."""
        context = hardest(self.initial_run_memory(key))  # read by resets only
        return self.step_or_reset(state, action, key, jnp.bool_(False), context)

    def randomized_physics(self, state: MujocoState) -> ModelFields:
        """See `Environment.randomized_physics`: the randomized fields of the model."""
        return state.model_fields

    def observation_shapes(self) -> dict[str, tuple[int, ...]]:
        """See `Environment.observation_shapes`."""
        return {name: array.shape for name, array in self._shapes.observations.items()}

    def step_or_reset(
        self,
        state: MujocoState,
        action: Float[Array, "action_size"],
        key: Key0,
        is_reset: Bool[Array, ""],
        context: RunContext,
    ) -> tuple[MujocoState, Timestep]:
        """See `Environment.step_or_reset`: one compiled copy of the physics serves both."""
        keys = TermKeys.split(key, self.terms.families())
        level = context.level
        memories, contributions = self._after_episode(state, context, is_reset)
        fresh, start = self._fresh_episode(keys, context, state, memories)

        carries = state.carries
        before = step_state(state, level, self.ctrl_dt)
        ctrl, carries = self._controls(action, state.physics, carries, keys)
        ctrl = jnp.where(is_reset, 0.0, ctrl)
        pushes, carries = self._evaluate("events", before, carries, keys)
        physics = state.physics.replace(qvel=sum(pushes.values(), start=state.physics.qvel))
        stepped = dataclasses.replace(
            state,
            carries=carries,
            action=action,
            previous_action=state.action,
            num_steps=state.num_steps + 1,
        )
        state = _where(is_reset, fresh, stepped)
        physics = self.engine.step(state.model_fields, physics, ctrl, start, is_reset)
        state = dataclasses.replace(state, physics=physics)

        after = step_state(state, level, self.ctrl_dt)
        timestep, carries = self._judge(after, state.carries, is_reset)
        commands, carries = self._evaluate("commands", after, carries, keys)
        after = dataclasses.replace(after, commands=commands)
        observations, carries = self._evaluate("observations", after, carries, keys)
        timestep = dataclasses.replace(
            timestep,
            observations=_where(_has_diverged(physics), _zeros_like(observations), observations),
            contributions=contributions,
        )
        record = record_after(state.record, timestep, is_reset)
        state = dataclasses.replace(state, carries=carries, commands=commands, record=record)
        return state, timestep

    def _after_episode(
        self, state: MujocoState, context: RunContext, is_reset: Bool[Array, ""] | bool = True
    ) -> tuple[Carries, Any]:
        """Updates the memories that outlive the episode which `state` ended.

        Returns:
          The memories of the environment, and contributions to that of the run.
        """
        record = state.record
        if record is None or not self.has_memory:
            return state.memories, ()
        episode = episode_end(state, record, context.level, self.ctrl_dt)
        # A new environment has had no episode yet.
        has_ended = (state.num_steps > 0) & is_reset
        return self._memories.after_episode(state.memories, state.carries, episode, has_ended)

    def _judge(
        self, after: StepState, carries: Carries, is_reset: Bool[Array, ""]
    ) -> tuple[Timestep, Carries]:
        """Evaluates rewards and terminations of a step; they do not count where it is a reset."""
        has_diverged = _has_diverged(after.physics)
        values, carries = self._evaluate("rewards", after, carries)
        rewards = {
            name: jnp.where(has_diverged | is_reset, 0.0, self.terms.rewards[name].scale * value)
            for name, value in values.items()
        }
        flags, carries = self._evaluate("terminations", after, carries)
        flags = {name: flag & ~is_reset for name, flag in {**flags, DIVERGED: has_diverged}.items()}
        time_outs = {name for name, term in self.terms.terminations.items() if term.is_time_out}
        timestep = Timestep(
            observations={},
            reward=sum(rewards.values(), start=jnp.float32(0)),
            is_terminated=_any(flag for name, flag in flags.items() if name not in time_outs),
            is_truncated=_any(flag for name, flag in flags.items() if name in time_outs),
            metrics={f"reward/{name}": value for name, value in rewards.items()},
            terminations=flags,
        )
        return timestep, carries

    def _evaluate(
        self, family: str, state: StepState, carries: Carries, keys: TermKeys | None = None
    ) -> tuple[dict[str, Any], Carries]:
        """Calls every term of a family; with keys, each gets its own.

        Returns:
          The values by name, and the carries of all families, this one's updated.
        """
        terms = getattr(self.terms, family)
        values, moved_on = {}, {}
        for name, term in terms.items():
            own_key = () if keys is None else (keys.call[family][name],)
            carry = carries[family][name]
            result = term(state, carry, *own_key)
            like = state.physics.qvel if family == "events" else None
            values[name], moved_on[name] = checked(family, name, term, result, carry, like)
        return values, {**carries, family: moved_on}

    def _controls(
        self, action: Array, physics: PhysicsData, carries: Carries, keys: TermKeys
    ) -> tuple[Float[Array, "nu"], Carries]:
        """Returns the controls of all MuJoCo actuators; actuators that no term drives get 0."""
        ctrl = jnp.zeros(self.model.mj_model.nu)
        moved_on, start = {}, 0
        for name, term in self.terms.actuators.items():
            part = action[start : start + term.action_size]
            carry = carries["actuators"][name]
            result = term(part, physics, carry, keys.call["actuators"][name])
            values, moved_on[name] = checked("actuators", name, term, result, carry)
            ctrl = replace_rows(ctrl, term.ctrl_ids, values)
            start += term.action_size
        return ctrl, {**carries, "actuators": moved_on}

    def _fresh_episode(
        self, keys: TermKeys, context: RunContext, like: MujocoState, memories: Carries
    ) -> tuple[MujocoState, EpisodeStart]:
        """Draws a new episode: all of its state but the physics, and the start of the physics."""
        carries = self._memories.begin(memories, context.memory, keys.initial)
        start = EpisodeStart(*map(jnp.asarray, self._default_start))
        for name, reset in self.terms.resets.items():
            carry = carries["resets"][name]
            moved = reset(start, context.level, carry, keys.call["resets"][name])
            start, carries["resets"][name] = checked("resets", name, reset, moved, carry, start)
        fields = jax.tree.map(jnp.asarray, dict(self._default_fields))
        for name, randomizer in self.terms.randomizers.items():
            carry = carries["randomizers"][name]
            result = randomizer(fields, carry, keys.call["randomizers"][name])
            drawn, carries["randomizers"][name] = checked(
                "randomizers", name, randomizer, result, carry, fields
            )
            fields |= drawn
        fresh = dataclasses.replace(
            like,
            model_fields=fields,
            carries=carries,
            action=jnp.zeros_like(like.action),
            previous_action=jnp.zeros_like(like.action),
            commands=_zeros_like(like.commands),
            num_steps=jnp.zeros_like(like.num_steps),
            memories=memories,
        )
        return fresh, start

    def _first_commands(
        self, carries: Carries, memories: Carries, keys: TermKeys
    ) -> tuple[dict[str, Array], Carries]:
        """Returns the commands and the carries of an episode; used for their shapes."""
        state = self._state(carries, {}, memories)
        after = step_state(state, jnp.float32(0), self.ctrl_dt)
        return self._evaluate("commands", after, carries, keys)

    def _state(
        self,
        carries: Carries,
        commands: dict[str, Array],
        memories: Carries,
        record: EpisodeRecord | None = None,
    ) -> MujocoState:
        return MujocoState(
            physics=jax.tree.map(jnp.asarray, self.engine.initial_data()),
            model_fields=jax.tree.map(jnp.asarray, dict(self._default_fields)),
            carries=carries,
            action=jnp.zeros(self.action_space.size),
            previous_action=jnp.zeros(self.action_space.size),
            commands=commands,
            num_steps=jnp.int32(0),
            memories=memories,
            record=record,
        )


class _Shapes(NamedTuple):
    """Values of terms, or their shapes and types."""

    carries: Carries
    commands: dict[str, Any]
    observations: dict[str, Any]
    memories: Carries
    record: EpisodeRecord


def _zeros_like(tree: Any) -> Any:
    return jax.tree.map(jnp.zeros_like, tree)


def _where(condition: Bool[Array, ""], if_true: Any, if_false: Any) -> Any:
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), if_true, if_false)


def _any(flags: Any) -> Bool[Array, ""]:
    result = jnp.bool_(False)
    for flag in flags:
        result |= flag
    return result


def _has_diverged(physics: PhysicsData) -> Bool[Array, ""]:
    """Returns whether MuJoCo itself would give up; the episode then ends with any engine."""
    state = jnp.concatenate([physics.qpos, physics.qvel])
    # A comparison with a NaN is false.
    return ~jnp.all(jnp.abs(state) <= mujoco.mjMAXVAL)


def _default_start(model: PhysicsModel) -> tuple[np.ndarray, np.ndarray]:
    """Returns `qpos` and `qvel` of the first keyframe, or without one `qpos0` and zeros."""
    mj_model = model.mj_model
    if mj_model.nkey:
        qpos, qvel = mj_model.key_qpos[0], mj_model.key_qvel[0]
    else:
        qpos, qvel = mj_model.qpos0, np.zeros(mj_model.nv)
    return np.asarray(qpos, np.float32), np.asarray(qvel, np.float32)
