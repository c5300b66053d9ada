"""Draws poses and writes them as a film: a program of its own, started by `film.py`.

It imports nothing of ksim: a child process that draws needs no JAX.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import mujoco
import numpy as np


def draw(
    mj_model: mujoco.MjModel,
    qpos: np.ndarray,
    width: int,
    height: int,
    camera_name: str | None,
    body_id: int | None,
) -> Iterator[np.ndarray]:
    """Yields an image `[height, width, 3]` uint8 of each pose, by a camera or following a body."""
    size = mj_model.vis.global_
    size.offwidth, size.offheight = width, height
    mj_data = mujoco.MjData(mj_model)
    camera: Any = camera_name
    if camera is None:
        camera = mujoco.MjvCamera()
        mujoco.mjv_defaultFreeCamera(mj_model, camera)
        if body_id is not None:
            camera.type = mujoco.mjtCamera.mjCAMERA_TRACKING
            camera.trackbodyid = body_id
    with mujoco.Renderer(mj_model, height, width) as renderer:
        for number, pose in enumerate(qpos):
            print(f"{number}/{len(qpos)}", flush=True)  # film.py reads how far it is
            mj_data.qpos[:] = pose
            mujoco.mj_forward(mj_model, mj_data)
            renderer.update_scene(mj_data, camera)
            yield renderer.render()


def write(images: Iterator[np.ndarray], frames_per_second: float, path: Path) -> None:
    """Writes images as .gif or .mp4, by the name of the file."""
    if path.suffix == ".gif":
        # A GIF counts in hundredths of a second.
        milliseconds = 10 * max(2, round(100 / frames_per_second))
        imageio.imwrite(path, list(images), duration=milliseconds, loop=0)
        return
    with imageio.imopen(path, "w", plugin="pyav") as film:
        film.init_video_stream("libx264", fps=round(frames_per_second))
        for image in images:
            film.write_frame(image)


def main() -> None:
    """Draws one film."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="compiled model, .mjb")
    parser.add_argument("poses", type=Path, help="qpos [T, nq], .npy")
    parser.add_argument("film", type=Path, help="file to write, .mp4 or .gif")
    parser.add_argument("--seconds-per-pose", type=float, required=True)
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--height", type=int, required=True)
    parser.add_argument("--fps", type=float, required=True)
    parser.add_argument("--camera", default=None)
    parser.add_argument("--body", type=int, default=None, help="id of the body to follow")
    arguments = parser.parse_args()
    mj_model = mujoco.MjModel.from_binary_path(str(arguments.model))
    stride = max(1, round(1 / (arguments.fps * arguments.seconds_per_pose)))
    qpos = np.load(arguments.poses, allow_pickle=False)[::stride]
    frames_per_second = 1 / (stride * arguments.seconds_per_pose)
    size = arguments.width, arguments.height
    images = draw(mj_model, qpos, *size, arguments.camera, arguments.body)
    write(images, frames_per_second, arguments.film)


if __name__ == "__main__":
    main()
