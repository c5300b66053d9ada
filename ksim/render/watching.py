"""Shows the policy of a checkpoint, in a window or as a film."""

import operator
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from ksim.config import ConfigError
from ksim.config.concerns import WatchedRunConfig
from ksim.envs import Environment, RunContext
from ksim.envs.mujoco.environment import MujocoEnvironment
from ksim.parallel.processes import current_processes
from ksim.render.film import FilmError, Picture, body_to_follow, check_picture, make_film
from ksim.render.pictures import write_pictures
from ksim.render.playback import is_drawn, positions, record, require_mujoco
from ksim.reporting.status import OnProgress, RunStatus
from ksim.rl import Policy
from ksim.storage.run_directory import obstacle_to_writing
from ksim.training.program import Program
from ksim.training.start import Start
from ksim.training.train_state import TrainState


def view_checkpoint(program: Program, config: WatchedRunConfig, start: Start) -> None:
    """Shows the policy in MuJoCo's window until that is closed.

    Raises:
      ConfigError: if there is no checkpoint, no display, or no MuJoCo model.
    """
    from ksim.render.viewer import view_policy

    train_state, _ = start.load_train_state(program, config)
    policy = deterministic_policy(program, train_state)
    view_policy(program.environment, policy, run_context(train_state), config.seed)


def film_checkpoint(program: Program, config: WatchedRunConfig, start: Start) -> Path:
    """Films the deterministic policy in one environment, in process 0.

    Returns:
      The film: `video_path`, or by default `videos/step_N.mp4` of the checkpoint's run.

    Raises:
      ConfigError: if there is no checkpoint, nothing to draw, no such camera, nothing to draw
        with, or the film cannot be written.
    """
    film: _Film
    if is_drawn(program.environment):
        film = _Pictures(program.environment, config)
    else:
        film = _Poses(require_mujoco(program.environment, "render"), config)
    train_state, checkpoint = start.load_train_state(program, config)
    path = Path(config.video_path or _default_path(checkpoint))
    if not current_processes().is_main:
        return path
    obstacle = obstacle_to_writing(path)
    if obstacle is not None:
        raise ConfigError(
            f"The film {path} cannot be written, because of {obstacle}. Name a file that can, as in"
            " video_path=/tmp/film.mp4."
        )
    with RunStatus() as status:
        with status.phase(f"playing {config.video_seconds:g} s of {checkpoint}") as on_progress:
            shown = record(
                program.environment,
                deterministic_policy(program, train_state),
                run_context(train_state),
                config.seed,
                max(1, round(config.video_seconds / program.environment.ctrl_dt)),
                on_progress,
                film.shown_of,
            )
        with status.phase("drawing the film") as on_progress:
            drawn_by = film.write(shown, path, on_progress)
        status.message(f"The film is {path} (drawn by {drawn_by})")
    return path


class _Film(Protocol):
    """A way to draw what was played."""

    def shown_of(self, state: Any) -> Any:
        """Returns what is drawn of a state."""

    def write(self, shown: Any, path: Path, on_progress: OnProgress) -> str:
        """Draws and writes the film; returns what has drawn it."""
        ...


class _Poses:
    """A film of a MuJoCo model."""

    def __init__(self, environment: MujocoEnvironment, config: WatchedRunConfig) -> None:
        self._ctrl_dt, self._model = environment.ctrl_dt, environment.model.mj_model
        self._picture = Picture(
            width=config.video_width,
            height=config.video_height,
            frames_per_second=config.frames_per_second(),
            camera=config.video_camera,
            body_id=body_to_follow(environment.model),
        )
        check_picture(self._model, self._picture)

    def shown_of(self, state: Any) -> Any:
        return positions(state)

    def write(self, shown: Any, path: Path, on_progress: OnProgress) -> str:
        try:
            return make_film(self._model, shown, self._ctrl_dt, self._picture, path, on_progress)
        except FilmError as error:
            raise ConfigError(str(error)) from error


class _Pictures:
    """A film of a world that draws itself."""

    def __init__(self, environment: Environment, config: WatchedRunConfig) -> None:
        self._environment, self._config = environment, config
        if config.video_camera is not None:
            raise ConfigError(
                f"video_camera={config.video_camera}: {type(environment).__name__} draws itself,"
                " and has no cameras. Write video_camera=null."
            )

    def shown_of(self, state: Any) -> Any:
        return state

    def _picture(self, state: Any) -> np.ndarray:
        picture = self._environment.picture(state)
        assert picture is not None, "is_drawn"
        return picture

    def write(self, shown: Any, path: Path, on_progress: OnProgress) -> str:
        ctrl_dt = self._environment.ctrl_dt
        stride = max(1, round(1 / (self._config.frames_per_second() * ctrl_dt)))
        num_steps = jax.tree.leaves(shown)[0].shape[0]
        states = (
            jax.tree.map(operator.itemgetter(index), shown) for index in range(0, num_steps, stride)
        )
        pictures = [self._picture(state) for state in states]
        size = self._config.video_width, self._config.video_height
        write_pictures(pictures, *size, 1 / (stride * ctrl_dt), path, on_progress)
        return "the world itself"


def deterministic_policy(program: Program, train_state: TrainState) -> Policy:
    """Returns the policy of a state on the host, which does not explore."""
    policy = program.algorithm.policy(train_state.learner, train_state.normalizer, jnp.array(True))
    on_device: Policy = jax.tree.map(jnp.asarray, policy)
    return on_device


def run_context(train_state: TrainState) -> RunContext:
    """Returns what the run of a state on the host tells its environments."""
    context = RunContext(train_state.level, train_state.run_memory)
    on_device: RunContext = jax.tree.map(jnp.asarray, context)
    return on_device


def _default_path(checkpoint: Path) -> Path:
    """Returns the path of a checkpoint's film: beside the folder of checkpoints."""
    folder = checkpoint.parent
    run = folder.parent if folder.name == "checkpoints" else folder
    return run / "videos" / f"{checkpoint.name}.mp4"
