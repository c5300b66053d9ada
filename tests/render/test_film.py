"""A policy becomes a film, in a process of its own."""

import subprocess
import sys

import imageio.v3 as imageio
import mujoco
import numpy as np
import pytest

import ksim
from ksim.config import ConfigError
from ksim.physics import PhysicsModel
from ksim.render import film, playback
from ksim.render.film import FilmError, Picture, body_to_follow, make_film
from ksim.render.playback import record
from ksim.render.watching import deterministic_policy, run_context
from tests.physics.small_worlds import ARM_AND_CUBE, BALL_AND_ROBOT
from tests.small_cartpole import small_task
from tests.small_mujoco_task import SmallMujocoConfig, SmallMujocoTask

MODEL = """
<mujoco>
  <visual><headlight ambient="1 1 1"/></visual>
  <worldbody>
    <camera name="above" pos="0 0 4"/>
    <body><freejoint/><geom size=".2" rgba="1 0 0 1"/></body>
    <body pos="1 0 0"><geom size=".2" rgba="0 0 1 1"/></body>
  </worldbody>
</mujoco>
"""


HOPPER = """
<mujoco>
  <worldbody>
    <body name="rail" pos="0 0 1">
      <joint type="slide" axis="0 0 1" range="-1 1"/>
      <geom size=".1"/>
      <body name="torso"><joint type="slide" axis="1 0 0"/><geom size=".2"/></body>
    </body>
  </worldbody>
</mujoco>
"""


@pytest.mark.parametrize(
    ("text", "body_id"), [(BALL_AND_ROBOT, 3), (ARM_AND_CUBE, None), (HOPPER, 2)]
)
def test_the_camera_follows_what_roams(text, body_id):
    model = PhysicsModel.create(mujoco.MjModel.from_xml_string(text), 0.005, 0.02)
    assert body_to_follow(model) == body_id


def can_draw(backend):
    model = "<mujoco><worldbody/></mujoco>"
    code = f"import mujoco; mujoco.Renderer(mujoco.MjModel.from_xml_string({model!r}), 16, 16)"
    command = ["env", f"MUJOCO_GL={backend}", sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


@pytest.fixture(scope="module")
def backend():
    for name in film.HEADLESS_BACKENDS:
        if can_draw(name):
            return name
    pytest.skip("this machine has neither EGL nor OSMesa")


@pytest.fixture
def headless(backend, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", backend)
    return backend


def moving_ball(num_poses):
    """It moves 1 m along y."""
    qpos = np.zeros((num_poses, 7))
    qpos[:, 1] = np.linspace(0, 1, num_poses)
    qpos[:, 3] = 1
    return mujoco.MjModel.from_xml_string(MODEL), qpos


def center_of(image, channel):
    """Column and row of what has this color and hardly any other."""
    other = np.delete(image, channel, axis=-1).max(axis=-1)
    rows, columns = np.nonzero((image[..., channel] > 120) & (other < 60))
    return columns.mean(), rows.mean()


@pytest.mark.parametrize(("name", "plugin"), [("film.mp4", "pyav"), ("film.gif", "pillow")])
def test_a_film_follows_the_robot(headless, tmp_path, name, plugin):
    model, qpos = moving_ball(20)
    picture = Picture(width=96, height=64, frames_per_second=25, body_id=1)
    # 20 poses, 20 ms apart: at 25 frames a second every other one.
    path, shares = tmp_path / "new" / name, []
    assert make_film(model, qpos, 0.02, picture, path, shares.append) == headless
    assert shares == [number / 10 for number in range(10)]
    images = imageio.imread(tmp_path / "new" / name, plugin=plugin)
    assert images.shape == (10, 64, 96, 3)
    # The red ball stays in the middle, the blue one is left behind.
    for image in images[[0, -1]]:
        np.testing.assert_allclose(center_of(image, 0), (48, 32), atol=2)
    moved = np.subtract(center_of(images[-1], 2), center_of(images[0], 2))
    assert np.abs(moved).max() > 4
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]  # no scraps


def test_a_camera_by_name_stands_still(headless, tmp_path):
    model, qpos = moving_ball(4)
    make_film(model, qpos, 0.02, Picture(96, 64, 50, camera="above"), tmp_path / "film.mp4")
    images = imageio.imread(tmp_path / "film.mp4", plugin="pyav")
    np.testing.assert_allclose(center_of(images[0], 2), center_of(images[-1], 2), atol=1)
    assert center_of(images[-1], 0)[1] < center_of(images[0], 0)[1] - 8  # up the picture


def test_a_broken_driver_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "broken")
    model, qpos = moving_ball(2)
    with pytest.raises(FilmError, match=r"MUJOCO_GL=broken: .*Install ksim\[render\]"):
        make_film(model, qpos, 0.02, Picture(), tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("program", "complaint", "shares"),
    [
        ("import time; print('1/4', flush=True); time.sleep(60)", "did not answer in time", [0.25]),
        ("import sys; print('hello'); sys.exit('no driver')", "no driver", []),
        ("import os; print('3/4\\nx/y', flush=True); os._exit(7)", "ended with status 7", [0.75]),
    ],
)
def test_what_drawing_dies_of(program, complaint, shares, tmp_path, monkeypatch):
    (tmp_path / "drawing.py").write_text(program)
    monkeypatch.setenv("MUJOCO_GL", "broken")
    monkeypatch.setattr(film, "DRAWING_PROGRAM", tmp_path / "drawing.py")
    monkeypatch.setattr(film, "FIRST_IMAGE_SECONDS", 1.0)
    model, qpos = moving_ball(1)
    told = []
    with pytest.raises(FilmError, match=f"MUJOCO_GL=broken: .*{complaint}"):
        make_film(model, qpos, 0.02, Picture(), tmp_path / "film.mp4", told.append)
    assert told == shares


def test_every_backend_is_tried_until_one_draws(headless, tmp_path, monkeypatch):
    monkeypatch.delenv("MUJOCO_GL")
    monkeypatch.setattr(film, "_backends", lambda: ("broken", headless))
    model, qpos = moving_ball(2)
    assert make_film(model, qpos, 0.02, Picture(32, 32), tmp_path / "film.mp4") == headless


def test_without_a_display_no_window_system_is_tried(monkeypatch):
    monkeypatch.setattr(film.sys, "platform", "linux")
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    assert film._backends() == ("egl", "osmesa")
    monkeypatch.setenv("DISPLAY", ":0")
    assert film._backends() == ("glfw", "egl", "osmesa")
    monkeypatch.setenv("MUJOCO_GL", "OSMesa")
    assert film._backends() == ("osmesa",)


@pytest.fixture(scope="module")
def run_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "run"
    SmallMujocoTask(SmallMujocoConfig(num_devices=1, max_steps=1, run_dir=str(path))).run()
    return path


def render(run_path, **options):
    config = SmallMujocoConfig(
        num_devices=1,
        run_mode="render",
        load_from_ckpt_path=str(run_path),
        video_seconds=0.2,
        video_width=64,
        video_height=48,
        **options,
    )
    return SmallMujocoTask(config)


def test_run_mode_render_films_a_checkpoint(run_path, headless, capsys):
    path = render(run_path).run()
    assert path == run_path / "videos" / "step_00000001.mp4"
    assert imageio.imread(path, plugin="pyav").shape[1:] == (48, 64, 3)
    assert f"The film is {path} (drawn by {headless})" in capsys.readouterr().out


def test_the_poses_are_those_of_an_episode(run_path, monkeypatch):
    task = render(run_path)
    program = task.build()
    train_state, _ = task.start.load_train_state(program, task.config)
    policy, context = deterministic_policy(program, train_state), run_context(train_state)
    qpos = record(task.environment, policy, context, 3, 10)
    assert qpos.shape == (10, task.environment.model.mj_model.nq)
    assert np.all(np.ptp(qpos, axis=0) > 0)
    np.testing.assert_array_equal(qpos, record(task.environment, policy, context, 3, 10))
    # In pieces of 4 it is the same, and the last piece is cut.
    monkeypatch.setattr(playback, "STEPS_AT_ONCE", 4)
    shares = []
    pieces = record(task.environment, policy, context, 3, 10, shares.append)
    np.testing.assert_array_equal(qpos, pieces)
    assert shares == [0.4, 0.8, 1.0]
    other = record(task.environment, policy, context, 4, 10)
    assert np.abs(qpos[0] - other[0]).max() > 0  # another seed starts elsewhere


def test_an_unknown_camera_names_those_that_exist(run_path):
    with pytest.raises(ConfigError, match="video_camera=abov: no such camera"):
        render(run_path, video_camera="abov").run()


@pytest.mark.parametrize("video_path", ["/dev/null/x.mp4", "{folder}/x.mp4"])
def test_a_film_that_cannot_be_written_is_not_played(run_path, video_path, tmp_path, monkeypatch):
    (tmp_path / "x.mp4").mkdir()
    monkeypatch.setattr("ksim.render.watching.record", lambda *_: pytest.fail("played"))
    with pytest.raises(ConfigError, match=r"cannot be written, because of .* directory\. Name a"):
        render(run_path, video_path=video_path.format(folder=tmp_path)).run()


def test_nothing_to_draw_with_is_a_plain_error(run_path, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "broken")
    with pytest.raises(ConfigError, match="The film could not be made"):
        render(run_path).run()


def test_a_world_without_mujoco_is_refused(tmp_path):
    trained = small_task(max_steps=1, run_dir=f"{tmp_path}/run").run()
    with pytest.raises(ConfigError, match="run_mode=render shows MuJoCo models"):
        small_task(run_mode="render", load_from_ckpt_path=str(trained.path)).run()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"video_path": "walk.avi"}, r"Write video_path=walk\.mp4"),
        ({"video_width": 641}, "Write video_width=642"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ksim.ConfigError, match=message):
        SmallMujocoConfig(**options).validate()
