"""Makes a film of poses, in a process of its own.

Drawing needs OpenGL, and where that is broken it takes the whole process down. So a film is made
by `drawing.py`, started as a program: whatever happens there, the run goes on.
"""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import mujoco
import numpy as np

from ksim.config import ConfigError
from ksim.physics import PhysicsModel
from ksim.reporting.status import OnProgress

HEADLESS_BACKENDS = ("egl", "osmesa")
DRAWING_PROGRAM = Path(__file__).with_name("drawing.py")
FIRST_IMAGE_SECONDS = 60.0


class FilmError(RuntimeError):
    """A film could not be made; the message says why and what to do."""


@dataclass(frozen=True)
class Picture:
    """Size, speed and camera of a film.

    Attributes:
      width: width, pixels.
      height: height, pixels.
      frames_per_second: frames in a second; the nearest whole number of control steps is taken.
      camera: name of a camera of the model; `None` follows the robot.
      body_id: the body that is followed; `None` keeps the middle of the model in view.
    """

    width: int = 640
    height: int = 480
    frames_per_second: float = 50.0
    camera: str | None = None
    body_id: int | None = None


def check_picture(mj_model: Any, picture: Picture) -> None:
    """Checks a camera's name against the model.

    Raises:
      ConfigError: if the model has no such camera.
    """
    names = [mj_model.camera(index).name for index in range(mj_model.ncam)]
    if picture.camera is not None and picture.camera not in names:
        exist = f"Cameras: {', '.join(names)}." if names else "It has no camera."
        raise ConfigError(
            f"video_camera={picture.camera}: no such camera in the model. {exist}"
            " Write video_camera=null to follow the robot."
        )


def body_to_follow(model: PhysicsModel) -> int | None:
    """Returns the robot's base, or a body that slides without limit; `None` if nothing roams."""
    if model.joints.base is not None:
        return model.joints.base.body_id
    mj_model = model.mj_model
    is_slide = mj_model.jnt_type == int(mujoco.mjtJoint.mjJNT_SLIDE)
    (joint_ids,) = np.nonzero(is_slide & (mj_model.jnt_limited == 0))
    return int(mj_model.jnt_bodyid[joint_ids[0]]) if joint_ids.size else None


def make_film(
    mj_model: Any,
    qpos: np.ndarray,
    seconds_per_pose: float,
    picture: Picture,
    path: Path,
    on_progress: OnProgress = lambda share: None,
) -> str:
    """Draws poses `[T, nq]` and writes them as .mp4 or .gif, by the name of `path`.

    `MUJOCO_GL` is respected; without it EGL and OSMesa are tried, and GLFW where there is a
    display. The file appears whole or not at all.

    Args:
      mj_model: the model.
      qpos: `[T, nq]` poses.
      seconds_per_pose: simulated time between two of them, s.
      picture: size, speed and camera of the film.
      path: the file to write; its folder is made.
      on_progress: is told the share of the images that are drawn.

    Returns:
      The OpenGL backend that was used.

    Raises:
      FilmError: if no backend works or the libraries are missing; the message has each one's error.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".film_") as folder:
        model_path, poses_path = Path(folder) / "model.mjb", Path(folder) / "poses.npy"
        mujoco.mj_saveModel(mj_model, str(model_path), None)
        np.save(poses_path, qpos, allow_pickle=False)
        film_path = Path(folder) / path.name
        complaints = []
        for backend in _backends():
            complaint = _film_with(
                backend, model_path, poses_path, seconds_per_pose, picture, film_path, on_progress
            )
            if complaint is None:
                film_path.replace(path)
                return backend
            complaints.append(f"MUJOCO_GL={backend}: {complaint}")
    raise FilmError(
        "The film could not be made. " + "; ".join(complaints) + ". Install ksim[render], and"
        " libegl1 or libosmesa6 of the system, or set MUJOCO_GL to a backend that works here."
    )


def _backends() -> tuple[str, ...]:
    chosen = os.environ.get("MUJOCO_GL", "").lower()
    if chosen:
        return (chosen,)
    has_display = sys.platform != "linux" or bool(os.environ.get("DISPLAY"))
    return ("glfw", *HEADLESS_BACKENDS) if has_display else HEADLESS_BACKENDS


def _film_with(
    backend: str,
    model_path: Path,
    poses_path: Path,
    seconds_per_pose: float,
    picture: Picture,
    film_path: Path,
    on_progress: OnProgress,
) -> str | None:
    """Makes the film in another process; returns the last line of its errors if it failed."""
    num_poses = np.load(poses_path, mmap_mode="r", allow_pickle=False).shape[0]
    command = [sys.executable, "-P", str(DRAWING_PROGRAM)]
    command += [str(model_path), str(poses_path), str(film_path)]
    command += [f"--seconds-per-pose={seconds_per_pose!r}"]
    command += [f"--width={picture.width}", f"--height={picture.height}"]
    command += [f"--fps={picture.frames_per_second!r}"]
    if picture.camera is not None:
        command += [f"--camera={picture.camera}"]
    if picture.body_id is not None:
        command += [f"--body={picture.body_id}"]
    seconds = FIRST_IMAGE_SECONDS + num_poses  # a second for an image is slow indeed
    environment = os.environ | {"MUJOCO_GL": backend}
    with tempfile.TemporaryFile("w+") as errors:
        status = _draw(command, environment, errors, seconds, on_progress)
        if status is None:
            return "it did not answer in time"
        if status == 0 and film_path.exists():
            return None
        errors.seek(0)
        words = errors.read().strip().splitlines()
    return words[-1] if words else f"the process ended with status {status}"


def _draw(
    command: list[str],
    environment: Mapping[str, str],
    errors: IO[str],
    seconds: float,
    on_progress: OnProgress,
) -> int | None:
    """Runs the program that draws; returns its exit status, or `None` if it took too long."""
    has_taken_too_long = threading.Event()

    def give_up() -> None:
        has_taken_too_long.set()
        process.kill()

    with subprocess.Popen(  # noqa: S603 - our own interpreter and program
        command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
    ) as process:
        assert process.stdout is not None
        timer = threading.Timer(seconds, give_up)
        timer.start()
        try:
            for line in process.stdout:
                number, slash, total = line.strip().partition("/")
                if slash and number.isdecimal() and total.isdecimal():  # a driver may print, too
                    on_progress(int(number) / int(total))
            process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            timer.cancel()
    return None if has_taken_too_long.is_set() else process.returncode
