"""The game of snake by hand, and beside its rules in plain Python, move by move."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim import Snake
from ksim.envs import DiscreteActions
from ksim.envs.environment import hardest
from ksim.parallel import Placement, Pmap, SingleDevice, environment_keys
from ksim.testing import check_environment
from tests.envs.slow_snake import SlowSnake, cycle_action, greedy_action, random_action

LEFT, RIGHT, UP, DOWN = range(4)
REASONS = ("wall", "self", "full_board", "time_out")


def play(environment, state, actions):
    """Steps from a state; returns the last state and all timesteps."""
    step, timesteps = jax.jit(environment.step), []
    for action in actions:
        state, timestep = step(state, jnp.int32(action), jax.random.key(7))
        timesteps.append(timestep)
    return state, timesteps


def start(environment, food=None):
    """The first state, with its food in a cell (row, column)."""
    state, _ = environment.reset(jax.random.key(0))
    if food is None:
        return state
    return state.replace(food=jnp.int32(food[0] * environment.grid_size + food[1]))


def reasons(timestep):
    return [name for name in REASONS if timestep.terminations[name]]


def test_four_actions_and_three_planes():
    assert Snake().action_space == DiscreteActions(4)
    assert Snake().observation_shapes() == {"board": (3, 12, 12)}
    assert Snake(8, frame_stack=2).observation_shapes() == {"board": (6, 8, 8)}
    assert Snake(8).max_steps == 1600


def test_starts_in_the_middle_to_the_right():
    state, observations = Snake(5).reset(jax.random.key(0))
    body, food, head = np.asarray(observations["board"])
    assert np.argwhere(body).tolist() == [[2, 1], [2, 2], [2, 3]]
    assert np.argwhere(head).tolist() == [[2, 3]]
    assert food.sum() == 1 and (food * body).sum() == 0
    assert np.asarray(state.age)[2].tolist() == [0, 1, 2, 3, 0]


def test_the_first_food_lies_on_all_free_cells_alike():
    keys = jax.random.split(jax.random.key(0), 22_000)
    food = jax.jit(jax.vmap(lambda key: Snake(5).reset(key)[0].food))(keys)
    counts = np.bincount(food, minlength=25)
    assert counts[[11, 12, 13]].tolist() == [0, 0, 0]
    # 22 free cells, 1,000 each: chi squared with 21 degrees of freedom is above 46.8 by a chance of
    # 0.001.
    free = np.delete(counts, [11, 12, 13])
    assert ((free - 1000) ** 2 / 1000).sum() < 46.8


def test_later_food_lies_on_all_free_cells_alike():
    environment = Snake(5)
    state = start(environment, food=(2, 4))
    keys = jax.random.split(jax.random.key(1), 21_000)
    step = jax.vmap(lambda key: environment.step(state, jnp.int32(RIGHT), key)[0].food)
    counts = np.bincount(jax.jit(step)(keys), minlength=25)
    assert counts[11:15].tolist() == [0, 0, 0, 0]
    free = np.delete(counts, range(11, 15))  # chi squared, 20 degrees of freedom: 45.3
    assert ((free - 1000) ** 2 / 1000).sum() < 45.3


def test_a_step_eating_and_the_wall_by_hand():
    # Board of 5: the head at (2, 3), the food at (2, 4), then the wall.
    environment = Snake(5)
    state, (eaten, dead) = play(environment, start(environment, (2, 4)), [RIGHT, RIGHT])
    assert eaten.reward == 1 and not eaten.is_terminated
    board = np.asarray(eaten.observations["board"])
    assert np.argwhere(board[0]).tolist() == [[2, 1], [2, 2], [2, 3], [2, 4]]
    assert eaten.metrics["snake_length"] == 4
    assert dead.reward == -1 and dead.is_terminated and reasons(dead) == ["wall"]
    # The move that kills is not made.
    np.testing.assert_array_equal(dead.observations["board"], board)
    assert int(state.head) == 2 * 5 + 4


def test_a_reversal_is_ignored():
    environment = Snake(8)
    state, (timestep,) = play(environment, start(environment, (0, 0)), [LEFT])
    assert int(state.head) == 4 * 8 + 6  # from (4, 5) to the right
    assert timestep.reward == pytest.approx(-0.01) and not timestep.is_terminated


def test_the_cell_that_the_tail_leaves_is_death():
    # From (4, 5) with a body of 4, after food at (4, 6): up, left, down closes a square of four
    # cells, and leads to the cell that the tail is about to leave.
    environment = Snake(8)
    state, timesteps = play(environment, start(environment, (4, 6)), [RIGHT, UP, LEFT])
    state = state.replace(food=jnp.int32(0))
    assert np.argwhere(state.age == 1).tolist() == [[4, 5]]
    _, (timestep,) = play(environment, state, [DOWN])
    assert timestep.is_terminated and reasons(timestep) == ["self"]
    assert not any(earlier.is_terminated for earlier in timesteps)


def test_a_time_out_truncates_and_moves():
    environment = Snake(8, max_steps=2)
    state, timesteps = play(environment, start(environment, (0, 0)), [UP, UP])
    assert [bool(x.is_truncated) for x in timesteps] == [False, True]
    assert not timesteps[1].is_terminated and reasons(timesteps[1]) == ["time_out"]
    assert timesteps[1].reward == pytest.approx(-0.01)
    assert int(state.head) == 2 * 8 + 5


def test_a_time_out_that_is_a_failure_costs_the_game():
    environment = Snake(8, max_steps=2, is_time_out_failure=True)
    state, timesteps = play(environment, start(environment, (0, 0)), [UP, UP])
    assert timesteps[1].is_terminated and timesteps[1].reward == -1
    assert int(state.head) == 3 * 8 + 5


def test_coming_nearer_pays_what_the_start_was_worth():
    # Food at (1, 5), 3 moves above the head: two nearer, one away, then the wall. By hand:
    # 0.5 * (3 - 2), 0.5 * (2 - 1), 0.5 * (1 - 2), ..., and in the last step 0.5 * (distance - 0).
    environment = Snake(8, distance_reward_scale=0.5, step_penalty=0.0, death_penalty=0.0)
    actions = [UP, UP, LEFT, UP, UP, UP]
    _, timesteps = play(environment, start(environment, (1, 5)), actions)
    rewards = [float(x.reward) for x in timesteps]
    # (4,5) -> (3,5): 2; (2,5): 1; (2,4): 2; (1,4): 1; (0,4): 2; wall: 0.
    assert rewards == [0.5, 0.5, -0.5, 0.5, -0.5, 1.0]
    assert sum(rewards) == 0.5 * 3


def test_stacked_frames_begin_alike_and_move_on():
    environment = Snake(6, frame_stack=3)
    state, observations = environment.reset(jax.random.key(0))
    first = np.asarray(observations["board"])
    assert first.shape == (9, 6, 6)
    np.testing.assert_array_equal(first[:3], first[6:])
    _, timesteps = play(environment, state, [UP, UP])
    second, third = (np.asarray(x.observations["board"]) for x in timesteps)
    np.testing.assert_array_equal(second[:6], first[3:])
    np.testing.assert_array_equal(third[:6], second[3:])
    assert (third[6:] != second[6:]).any()


@pytest.mark.parametrize("options", [{"grid_size": 5}, {"grid_size": 6, "frame_stack": 2}])
def test_keeps_the_contract(options):
    check_environment(Snake(max_steps=20, distance_reward_scale=0.1, **options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid_size": 4}, r"grid_size=4\): a whole number from 5 to 100\. .* grid_size=12\."),
        ({"max_steps": 0}, r"max_steps=0\): a whole number from 1"),
        ({"food_reward": -1.0}, r"food_reward=-1\.0\): a number, at least 0\. .* food_reward=1\.0"),
        ({"death_penalty": 1.0}, r"death_penalty=1\.0\): a number, at most 0\. .*=-1\.0"),
        ({"step_penalty": float("nan")}, r"step_penalty=nan\): a number, at most 0"),
        ({"frame_stack": 0}, r"frame_stack=0\): a whole number from 1 to 16"),
    ],
)
def test_bad_input_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Snake(**options)


@pytest.mark.parametrize("num_devices", [1, 2, 4, 8])
def test_the_number_of_devices_changes_nothing(num_devices):
    environment, devices = Snake(6), jax.devices()[:num_devices]
    partitioner = Pmap(devices) if num_devices > 1 else SingleDevice(devices[0])
    sharded = Placement.SHARDED
    run = partitioner.partition(
        lambda key, env_ids: random_play(environment, environment_keys(key, env_ids)),
        (Placement.REPLICATED, sharded),
        (sharded, sharded),
    )
    key = partitioner.replicate_state(jax.random.key(3))
    found = run(key, partitioner.shard_environments(jnp.arange(16)))
    found = partitioner.gather_environments(found)
    expected = random_play(environment, environment_keys(jax.random.key(3), jnp.arange(16)))
    jax.tree.map(np.testing.assert_array_equal, found, jax.device_get(expected))
    assert (np.asarray(found[1]) < -1).any()  # some have died, and begun again


def random_play(environment, keys):
    """100 random moves in each of some environments; the states, and the sums of rewards."""

    def play(key):
        def step(carry, index):
            state, is_over = carry
            action_key, step_key = jax.random.split(jax.random.fold_in(key, index))
            action = jax.random.randint(action_key, (), 0, 4)
            state, timestep = environment.step_or_reset(state, action, step_key, is_over, hardest())
            return (state, timestep.is_terminated | timestep.is_truncated), timestep.reward

        start = (environment.initial_state(), jnp.bool_(True))
        (state, _), rewards = jax.lax.scan(step, start, jnp.arange(100))
        return state, rewards.sum()

    return jax.vmap(play)(keys)


def compare(options, choose, num_games, num_slots=1, seed=0):
    """Plays games in both versions until enough have ended; returns how they ended.

    Games run side by side in slots. The plain version is given the food that the fast one drew.
    """
    environment, rng = Snake(**options), np.random.default_rng(seed)
    step = jax.jit(jax.vmap(environment.step_or_reset, in_axes=(0, 0, 0, 0, None)))
    size, endings = environment.grid_size, []
    state = jax.vmap(lambda _: environment.initial_state())(jnp.arange(num_slots))
    games, is_over = [None] * num_slots, np.ones(num_slots, bool)
    key = jax.random.key(seed)

    def food_of(slot):
        cell = int(foods[slot])
        return None if cell == size**2 else divmod(cell, size)

    while len(endings) < num_games:
        key, step_key = jax.random.split(key)
        actions = [0 if is_over[i] else choose(games[i], rng) for i in range(num_slots)]
        keys = jax.random.split(step_key, num_slots)
        state, timestep = step(state, jnp.array(actions), keys, jnp.array(is_over), hardest())
        foods, timestep = np.asarray(state.food), jax.device_get(timestep)
        boards = []
        for i in range(num_slots):
            expected = (0.0, False, False)
            if is_over[i]:
                games[i] = SlowSnake(options, food_of(i))
            else:
                expected = games[i].step(actions[i], lambda i=i: food_of(i))
            found = (timestep.reward[i], timestep.is_terminated[i], timestep.is_truncated[i])
            assert found == pytest.approx(expected, abs=1e-6)
            is_over[i] = expected[1] or expected[2]
            if is_over[i]:
                endings.append([name for name in REASONS if timestep.terminations[name][i]])
            boards.append(games[i].board())
        np.testing.assert_array_equal(timestep.observations["board"], boards)
    return endings


SHAPED = {"distance_reward_scale": 0.1, "frame_stack": 2, "is_time_out_failure": True}


@pytest.mark.parametrize("extra", [{}, SHAPED])
def test_random_games_equal_plain_python(extra):
    endings = compare({"grid_size": 6, "max_steps": 12, **extra}, random_action, 40, 8)
    assert {name for ending in endings for name in ending} == {"wall", "time_out"}


def test_greedy_games_equal_plain_python():
    endings = compare({"grid_size": 7, "distance_reward_scale": 0.1}, greedy_action, 20, 10)
    assert {name for ending in endings for name in ending} >= {"self"}


def test_a_closed_path_wins_the_board_as_in_plain_python():
    assert compare({"grid_size": 6}, cycle_action, 2, 2) == [["full_board"]] * 2


@pytest.mark.slow
@pytest.mark.parametrize("choose", [random_action, greedy_action])
@pytest.mark.parametrize("size", [6, 9, 12, 15, 20])
def test_200_games_equal_plain_python(choose, size):
    assert len(compare({"grid_size": size}, choose, 200, 50)) >= 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "num_games"), [(6, 900), (8, 70), (10, 20), (12, 7), (16, 2), (20, 1)]
)
def test_1000_closed_paths_win_the_board_as_in_plain_python(size, num_games):
    options = {"grid_size": size, "max_steps": size**4}
    endings = compare(options, cycle_action, num_games, min(num_games, 50))
    assert all(ending == ["full_board"] for ending in endings)
