"""Shows the policy of a checkpoint, in a window or as a film."""

from pathlib import Path

import jax
import jax.numpy as jnp

from ksim.config import ConfigError
from ksim.config.concerns import WatchedRunConfig
from ksim.envs import RunContext
from ksim.parallel.processes import current_processes
from ksim.render.film import FilmError, Picture, body_to_follow, check_picture, make_film
from ksim.render.playback import record, require_mujoco
from ksim.reporting.status import RunStatus
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
      ConfigError: if there is no checkpoint, no MuJoCo model, no such camera, nothing to draw
        with, or the film cannot be written.
    """
    environment = require_mujoco(program.environment, "render")
    mj_model = environment.model.mj_model
    picture = Picture(
        width=config.video_width,
        height=config.video_height,
        frames_per_second=config.frames_per_second(),
        camera=config.video_camera,
        body_id=body_to_follow(environment.model),
    )
    check_picture(mj_model, picture)
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
    policy = deterministic_policy(program, train_state)
    num_steps = max(1, round(config.video_seconds / environment.ctrl_dt))
    with RunStatus() as status:
        with status.phase(f"playing {config.video_seconds:g} s of {checkpoint}") as on_progress:
            qpos = record(
                environment, policy, run_context(train_state), config.seed, num_steps, on_progress
            )
        try:
            with status.phase("drawing the film") as on_progress:
                backend = make_film(mj_model, qpos, environment.ctrl_dt, picture, path, on_progress)
        except FilmError as error:
            raise ConfigError(str(error)) from error
        status.message(f"The film is {path} (drawn by {backend})")
    return path


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
