"""Checks that a physics engine keeps the contract of `PhysicsEngine`."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from ksim.physics import EpisodeStart, ModelFields, PhysicsEngine, PhysicsModel
from ksim.physics.computed_fields import read_shape
from ksim.physics.data import PhysicsData
from ksim.physics.engines.default_data import DefaultData
from ksim.physics.engines.native.engine import NativeEngine
from ksim.testing.rules import Trial, numbers

FIELDS = tuple(PhysicsData.__annotations__)
"""Fields that a term may read of every engine."""
POSES = ("qpos", "qvel", "xpos")
RANDOMIZED = ("body_mass", "body_ipos", "dof_damping", "dof_armature", "geom_friction")
SAME = 1e-5  # for the same step compiled in two ways: relative, and absolute below 1
NUM_ALONE = 6  # simulations that are stepped alone, too
PUSH_ERROR = 0.5  # of what a push does; 1 if it is lost. MJX feels its damping one step late.


def check_engine(
    engine: PhysicsEngine,
    model: PhysicsModel,
    *,
    tolerance: float = 1e-4,
    fields: Sequence[str] = RANDOMIZED,
    num_simulations: int = 6,
    seed: int = 0,
) -> None:
    """Checks that an engine keeps the rules of `PhysicsEngine`, one after the other.

    Simulations start in random states about the first keyframe, or `qpos0`. They are compared with
    native MuJoCo, and with the same stepped alone, on two devices where JAX has them.

    Args:
      engine: the engine, made for the model.
      model: the robot.
      tolerance: of a field beside native MuJoCo's, after a start and after one control step:
        relative to its largest number, and absolute below 1.
      fields: model fields that differ between the simulations.
      num_simulations: simulations side by side.
      seed: of states and controls.

    Raises:
      TypeError: if something is not of the type that the contract names.
      AssertionError: if another rule is broken. Each names the first broken rule, says what was
        found and what to write instead.
    """
    trial = _Trial(engine, model, fields, num_simulations, seed)
    with trial.functions_of_arrays(memory="data"):
        _check_model_fields(trial, fields)
        _check_types(trial)
        _check_start(trial, tolerance)
        _check_only_some_start(trial)
        _check_clean_start(trial)
        _check_purity(trial)
        _check_push(trial)
        _check_beside_native(trial, fields, tolerance)
        rule, found = "one compilation serves all steps", f"they need {trial.num_traces}"
        advice = "return data of the same types as initial_data, weak types included."
        trial.require(trial.num_traces == 1, rule, found, advice)
        _check_alone(trial)


class _Simulations:
    """Simulations of one engine side by side.

    Attributes:
      step_all: the step of all of them.
      fields: `[num_simulations, ...]` model fields of each.
    """

    def __init__(
        self, engine: PhysicsEngine, step_all: Callable[..., Any], fields: ModelFields
    ) -> None:
        self.engine, self.step_all, self.fields = engine, step_all, fields

    def start(self, qpos: np.ndarray, qvel: np.ndarray) -> Any:
        """Returns the data of episodes that have just begun."""
        data = _repeat(self.engine.initial_data(), len(qpos))
        return self.step(data, np.zeros((len(qpos), data.ctrl.shape[1])), True, qpos, qvel)

    def step(
        self,
        data: Any,
        ctrl: np.ndarray,
        is_reset: Any = False,
        qpos: np.ndarray | None = None,
        qvel: np.ndarray | None = None,
    ) -> Any:
        """Steps, or starts those for which `is_reset` holds."""
        count = len(ctrl)
        start = EpisodeStart(
            jnp.zeros_like(data.qpos) if qpos is None else jnp.asarray(qpos),
            jnp.zeros_like(data.qvel) if qvel is None else jnp.asarray(qvel),
        )
        is_reset = np.broadcast_to(np.asarray(is_reset), (count,))
        ctrl = np.where(is_reset[:, None], 0.0, ctrl)  # as environments do
        return self.step_all(self.fields, data, jnp.float32(ctrl), start, jnp.asarray(is_reset))


class _Trial(Trial):
    """An engine under trial, and random states to try it in.

    Attributes:
      qpos: `[num_simulations, nq]` where simulations start.
      qvel: `[num_simulations, nv]` their velocities there.
      ctrl: `[num_simulations, nu]` controls.
    """

    def __init__(
        self,
        engine: PhysicsEngine,
        model: PhysicsModel,
        fields: Sequence[str],
        num_simulations: int,
        seed: int,
    ) -> None:
        super().__init__(type(engine).__name__)
        if not isinstance(engine, PhysicsEngine):
            raise TypeError(
                f"check_engine tries an engine, found {engine!r:.80}. Give an object of a class"
                " that derives from ksim.PhysicsEngine."
            )
        self.engine, self.model, self.count = engine, model, num_simulations
        self.own_fields = _own_fields(model.mj_model, fields)
        same = {name: _repeat(x, num_simulations) for name, x in self.own_fields.items()}
        self.all = _Simulations(engine, self.counted(jax.vmap(engine.step)), same)
        random = np.random.default_rng(seed)
        mj_model = model.mj_model
        qpos, qvel = _default_qpos(mj_model), random.normal(0, 0.5, (num_simulations, mj_model.nv))
        rows = np.stack([qpos] * num_simulations)
        for row in rows:
            mujoco.mj_integratePos(mj_model, row, random.normal(0, 0.1, mj_model.nv), 1.0)
        ctrl = random.uniform(-1, 1, (num_simulations, mj_model.nu))
        self.qpos, self.qvel, self.ctrl = (x.astype(np.float32) for x in (rows, qvel, ctrl))

    def started(self) -> Any:
        """Returns the data of all simulations where they start."""
        return self.all.start(self.qpos, self.qvel)


def _check_model_fields(trial: _Trial, fields: Sequence[str]) -> None:
    rule = "model_fields gives the model's own values"
    try:
        found = trial.engine.model_fields(tuple(fields))
    except KeyError as error:
        advice = "give it, or check the engine with fields=(...) that it has."
        trial.require(False, rule, f"{error.args[0]}", advice)
    advice = "return float32 arrays by name, as the model has them."
    trial.require_same(numbers(trial.own_fields), numbers(dict(found)), rule, advice, SAME)
    try:
        trial.engine.model_fields(("body_mas",))
    except KeyError:
        return
    advice = "raise KeyError, and name the fields that there are."
    rule = "model_fields refuses what is no field of the model"
    trial.require(False, rule, 'it gives something for "body_mas"', advice)


def _check_types(trial: _Trial) -> None:
    """Traces a step, which compiles nothing."""
    engine = trial.engine
    rule, found = "description is a text", f"it is {engine.description!r:.80}"
    is_text = isinstance(engine.description, str) and engine.description != ""
    trial.require(is_text, rule, found, 'write return "MJX on the devices".', TypeError)
    rule, found = (
        "compiler_options are options by name",
        f"they are {engine.compiler_options!r:.80}",
    )
    is_mapping = isinstance(engine.compiler_options, Mapping)
    trial.require(is_mapping, rule, found, "leave them out: there are none by default.", TypeError)
    data = engine.initial_data()
    for path, x in jax.tree_util.tree_leaves_with_path(data):
        rule = "initial_data is of NumPy arrays"
        found = f"{jax.tree_util.keystr(path)[1:]} is a {type(x).__name__}"
        advice = "write jax.tree.map(np.asarray, data): it may be used on any device."
        trial.require(isinstance(x, np.ndarray | np.generic), rule, found, advice, TypeError)
    expected = DefaultData(trial.model.mj_model).fields
    for reader, names in ((engine, FIELDS), (engine.reading({"xpos"}), ("qpos", "xpos"))):
        data_read = reader.initial_data()
        for name in names:
            x, shape = _field(data_read, name), expected[name].shape
            found = f"{name} is {'missing' if x is None else f'{x.dtype}{list(x.shape)}'}"
            is_kept = x is not None and (x.shape, x.dtype) == (shape, np.float32)
            advice = f"give {name} as float32{list(shape)}."
            trial.require(is_kept, "data has what terms read", found, advice, TypeError)
    start = EpisodeStart(trial.qpos[0], trial.qvel[0])
    arguments = (trial.own_fields, data, trial.ctrl[0], start, np.bool_(True))
    rule, advice = "step returns data like initial_data", "return data.replace(...)."
    stepped = jax.eval_shape(engine.step, *arguments)
    trial.require_same_types(data, stepped, rule, advice, TypeError)


def _check_start(trial: _Trial, tolerance: float) -> None:
    data = trial.started()
    rule, advice = "an episode begins where it is told to", "take qpos and qvel of `start`, time 0."
    told = {"qpos": trial.qpos, "qvel": trial.qvel}
    trial.require_same(told, _read(data, tuple(told)), rule, advice, 1e-6)
    trial.require(not np.any(data.time), rule, f"time is {data.time}", advice)
    advice = "compute what follows from positions and velocities last, after a start replaced them."
    for name, expected, mask in _current_fields(trial):
        error = _error(np.asarray(getattr(data, name)) * mask, expected * mask)
        found_text = f"{name} is off by {error:.2g} where an episode begins"
        trial.require(error < tolerance, "derived fields are current", found_text, advice)


def _check_only_some_start(trial: _Trial) -> None:
    fresh = trial.started()
    data = trial.all.step(fresh, trial.ctrl)
    is_reset = np.arange(trial.count) % 2 == 1
    after = trial.all.step(data, trial.ctrl, is_reset, trial.qpos, trial.qvel)
    rule, advice = "those episodes begin that are told to", "choose by is_reset, with jnp.where."
    times = np.where(is_reset, 0.0, 2 * trial.model.ctrl_dt)
    trial.require_same({"time": times}, {"time": np.asarray(after.time)}, rule, advice, SAME)
    expected, found = {"qpos": trial.qpos[is_reset]}, {"qpos": np.asarray(after.qpos)[is_reset]}
    trial.require_same(expected, found, rule, advice, 1e-6)
    expected, found = (
        {name: x[is_reset] for name, x in _read(of_all, FIELDS).items()}
        for of_all in (fresh, after)
    )
    trial.require_same(expected, found, rule, advice, SAME)
    change = np.abs(np.asarray(after.qpos) - np.asarray(data.qpos)).max(axis=1, initial=0)
    is_moved = np.all(change[~is_reset] > 0)
    trial.require(is_moved, rule, "others stand still while they begin", advice)


def _check_clean_start(trial: _Trial) -> None:
    """Starts anew after a step, and after a simulation has diverged."""
    rule = "nothing of the last episode is left where one begins"
    advice = "set forces, accelerations, activations and the solver's warm start to 0."
    fresh = trial.started()
    moved = trial.all.step(fresh, trial.ctrl)
    too_fast = moved.replace(qvel=jnp.full_like(moved.qvel, 3e38))
    for when, before in (("moved", moved), ("diverged", trial.all.step(too_fast, trial.ctrl))):
        data = trial.all.step(before, trial.ctrl, True, trial.qpos, trial.qvel)
        for name, mask in DefaultData(trial.model.mj_model).is_of_last_substep.items():
            values = _field(data, name)
            if values is not None:
                left = np.asarray(values)[:, mask]
                found = f"{name} has {left[left != 0][:3]} where simulations have {when} before"
                trial.require(not np.any(left), rule, found, advice)
        trial.require_same(_read(fresh, FIELDS), _read(data, FIELDS), rule, advice, SAME)
        after = _read(trial.all.step(data, trial.ctrl), FIELDS)
        trial.require_same(_read(moved, FIELDS), after, rule, advice, SAME)


def _check_purity(trial: _Trial) -> None:
    started = trial.started()
    before, first = numbers(started), numbers(trial.all.step(started, trial.ctrl))
    trial.all.step(trial.all.step(started, -trial.ctrl), -trial.ctrl)
    again, advice = (
        numbers(trial.all.step(started, trial.ctrl)),
        "keep all in the data, and copy it.",
    )
    trial.require_same(first, again, "the same step gives the same", advice)
    trial.require_same(before, numbers(started), "a step changes no argument", advice)


def _check_push(trial: _Trial) -> None:
    """Replaces velocities between two steps, as events do."""
    still = trial.all.start(trial.qpos, np.zeros_like(trial.qvel))
    pushed = trial.all.step(still.replace(qvel=jnp.asarray(trial.qvel)), trial.ctrl)
    expected = np.asarray(trial.all.step(trial.started(), trial.ctrl).qpos)
    effect = np.abs(expected - np.asarray(trial.all.step(still, trial.ctrl).qpos)).max(initial=0)
    error = np.abs(np.asarray(pushed.qpos) - expected).max(initial=0)
    rule = "a velocity that was replaced is continued from"
    found = f"positions are off by {error:.2g}, of {effect:.2g} that it should change"
    trial.require(error <= PUSH_ERROR * effect, rule, found, "step from data.qvel.")


def _check_beside_native(trial: _Trial, fields: Sequence[str], tolerance: float) -> None:
    """Compares a start and a step, in simulations with a model of their own."""
    random = np.random.default_rng(1)
    scaled = {}
    for name in fields:
        own, factors = trial.own_fields[name], random.uniform(0.8, 1.2, trial.count)
        scaled[name] = jnp.float32(factors.reshape(-1, *(1,) * own.ndim) * own)
    native = NativeEngine(trial.model)
    data = []
    for engine, step in ((trial.engine, trial.all.step_all), (native, None)):
        step = step or jax.jit(jax.vmap(native.step))
        simulations = _Simulations(engine, step, scaled)
        started = simulations.start(trial.qpos, trial.qvel)
        data.append((started, simulations.step(started, trial.ctrl)))
    rule, advice = "a step is that of native MuJoCo", "compare with mj_step; raise `tolerance`."
    for when, ours, natives in zip(("a start", "a step"), *data, strict=True):
        for name in FIELDS:
            error = _error(np.asarray(getattr(ours, name)), np.asarray(getattr(natives, name)))
            found = f"{name} is off by {error:.2g} after {when}"
            trial.require(error < tolerance, rule, found, advice)


def _check_alone(trial: _Trial) -> None:
    """Steps simulations alone on a device, on two devices at a time where there are as many."""
    devices = jax.local_devices()[: min(2, trial.count)]
    step = jax.pmap(jax.vmap(trial.engine.step), devices=devices)

    def step_each(*arguments: Any) -> Any:
        apart = jax.tree.map(lambda x: jnp.expand_dims(x, 1), arguments)
        return jax.tree.map(lambda x: np.asarray(x)[:, 0], step(*apart))

    together = _read(trial.all.step(trial.started(), trial.ctrl), POSES)
    rule = "a simulation does not depend on those beside it"
    advice = "give custom operations a batching rule, and keep all of a simulation in its data."
    for first in range(0, min(NUM_ALONE, trial.count - len(devices) + 1), len(devices)):
        rows = slice(first, first + len(devices))
        fields = {name: x[rows] for name, x in trial.all.fields.items()}
        few = _Simulations(trial.engine, step_each, fields)
        alone = few.step(few.start(trial.qpos[rows], trial.qvel[rows]), trial.ctrl[rows])
        expected = {name: x[rows] for name, x in together.items()}
        trial.require_same(expected, _read(alone, POSES), rule, advice, SAME)


def _current_fields(trial: _Trial) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yields each field where simulations start, by MuJoCo itself, and which elements count."""
    mj_model = trial.model.mj_model
    default, data = DefaultData(mj_model), mujoco.MjData(mj_model)
    rows: dict[str, list[np.ndarray]] = {name: [] for name in FIELDS}
    for qpos, qvel in zip(trial.qpos, trial.qvel, strict=True):
        data.qpos[:], data.qvel[:] = qpos, qvel
        mujoco.mj_forward(mj_model, data)
        for name, values in rows.items():
            value = np.array(getattr(data, name))
            values.append(value.reshape(read_shape(name, value)))
    for name, values in rows.items():
        everything = np.ones(values[0].shape, bool)
        yield (
            name,
            np.stack(values),
            everything & np.logical_not(default.is_of_last_substep.get(name, False)),
        )


def _own_fields(mj_model: mujoco.MjModel, fields: Sequence[str]) -> dict[str, np.ndarray]:
    return {name: np.asarray(getattr(mj_model, name), np.float32) for name in fields}


def _default_qpos(mj_model: mujoco.MjModel) -> np.ndarray:
    return np.array(mj_model.key_qpos[0] if mj_model.nkey else mj_model.qpos0)


def _repeat(tree: Any, count: int) -> Any:
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *np.shape(x))), tree)


def _read(data: Any, names: Sequence[str]) -> dict[str, np.ndarray]:
    return {name: np.asarray(getattr(data, name)) for name in names}


def _field(data: Any, name: str) -> Any:
    """Returns a field of data that may have it; `None` if it has not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # MJX's, of fields that it moved
        try:
            return getattr(data, name)
        except AttributeError:
            return None


def _error(found: np.ndarray, expected: np.ndarray) -> float:
    """Returns the largest difference, in parts of the largest number; absolute below 1."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return np.inf
    unit = max(1.0, np.abs(expected).max(initial=0.0))
    return float(np.abs(found - expected).max(initial=0.0) / unit)
