"""Films of worlds that draw themselves."""

import imageio.v3 as imageio
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examples.cartpole import CartPoleTask
from examples.snake import SnakeConfig, SnakeTask
from ksim import ConfigError, Snake
from ksim.envs import AutoResetWrapper
from ksim.envs.snake_picture import BOARD, FOOD, HEAD, NECK, draw_board
from ksim.render.pictures import fitted, write_pictures
from tests.small_cartpole import small_config

SMALL = {
    "grid_size": 6,
    "num_envs": 4,
    "batch_size": 4,
    "rollout_length_frames": 8,
    "total_timesteps": 32,
    "conv_channels": (4,),
    "conv_strides": (2,),
    "hidden_sizes": (8,),
    "eval_length_seconds": 0.1,
    "num_devices": 1,
}


def center(picture, row, column):
    return tuple(picture[16 * row + 8, 16 * column + 8].tolist())


def test_a_board_has_the_colors_of_what_lies_there():
    state, _ = Snake(6).reset(jax.random.key(0))
    state = state.replace(food=jnp.int32(5))
    picture = Snake(6).picture(jax.device_get(state))
    assert picture.shape == (96, 96, 3) and picture.dtype == np.uint8
    # The snake lies in row 3 from column 2 to its head in column 4.
    assert center(picture, 3, 4) == HEAD
    assert center(picture, 0, 5) == FOOD
    assert center(picture, 1, 1) == BOARD
    tail, neck = (sum(center(picture, 3, column)) for column in (2, 3))
    assert sum(BOARD) < tail < neck < sum(NECK)


def test_a_full_board_has_no_food():
    picture = draw_board(np.arange(1, 26).reshape(5, 5), 24, 25)
    assert not (picture == FOOD).all(-1).any()


def test_a_wrapped_world_draws_itself_too():
    wrapped = AutoResetWrapper(Snake(6))
    state, _ = wrapped.reset(jax.random.key(0))
    np.testing.assert_array_equal(wrapped.picture(state), Snake(6).picture(state.environment))


def test_a_picture_stands_in_the_middle_as_large_as_fits():
    picture = np.full((10, 10, 3), 200, np.uint8)
    found = fitted(picture, 80, 40)
    assert found.shape == (40, 80, 3)
    assert (found[:, 20:60] == 200).all() and (found[:, :20] == 0).all()


@pytest.mark.parametrize(("name", "plugin"), [("film.mp4", "pyav"), ("film.gif", "pillow")])
def test_pictures_become_a_film_and_leave_no_scraps(tmp_path, name, plugin):
    pictures = [np.full((8, 8, 3), 40 * i, np.uint8) for i in range(5)]
    shares = []
    write_pictures(pictures, 32, 32, 10, tmp_path / "new" / name, shares.append)
    assert shares == [0, 0.2, 0.4, 0.6, 0.8]
    images = imageio.imread(tmp_path / "new" / name, plugin=plugin)
    assert images.shape == (5, 32, 32, 3)
    np.testing.assert_allclose(images.mean((1, 2, 3)), [0, 40, 80, 120, 160], atol=4)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]


def test_a_run_is_filmed_without_mujoco(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "broken")
    result = SnakeTask(SnakeConfig(**SMALL, run_dir=str(tmp_path / "run"))).run()
    film = {"video_path": str(tmp_path / "film.mp4"), "video_width": 96, "video_height": 96}
    options = SMALL | film | {"run_mode": "render", "video_seconds": 3.0}
    path = SnakeTask(SnakeConfig(**options, load_from_ckpt_path=str(result.path))).run()
    assert path == tmp_path / "film.mp4"
    images = imageio.imread(path, plugin="pyav")
    assert images.shape == (30, 96, 96, 3)  # 3 s, 10 moves in a second
    assert (np.abs(images.astype(int) - FOOD).max(-1) < 60).any((1, 2)).all()
    assert "(drawn by the world itself)" in capsys.readouterr().out


def test_a_camera_is_refused_where_there_is_none(tmp_path):
    options = SMALL | {"run_dir": str(tmp_path / "run"), "video_camera": "side"}
    task = SnakeTask(SnakeConfig(**options))
    task.run()
    task.config.run_mode = "render"
    with pytest.raises(ConfigError, match=r"video_camera=side: Snake draws itself"):
        task.run()


def test_a_world_that_draws_nothing_is_not_filmed(tmp_path):
    task = CartPoleTask(small_config(max_steps=1, num_devices=1, run_dir=str(tmp_path / "run")))
    task.run()
    task.config.run_mode = "render"
    with pytest.raises(ConfigError, match=r"a CartPole\. Write run_mode=evaluate\."):
        task.run()
