"""The game of snake, in pure JAX."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key

from ksim.envs.environment import DiscreteActions, Environment, RunContext, Timestep
from ksim.envs.snake_picture import draw_board

START_LENGTH = 3
LEFT, RIGHT, UP, DOWN = range(4)


@struct.dataclass
class SnakeState:
    """State of a game; cells are numbered row by row.

    Attributes:
      age: `[S, S]` int16 moves after which the snake has left a cell, if it eats nothing; 0 where
        the cell is free.
      head: `[]` int32 cell of the head.
      food: `[]` int32 cell of the food; S^2, which is none, on a full board.
      direction: `[]` int32 action of the last move.
      length: `[]` int32 cells of the snake.
      num_steps: `[]` int32 steps since the episode began.
      past: the planes `[3, S, S]` of the last `frame_stack - 1` steps, the oldest first.
    """

    age: Int[Array, "S S"]
    head: Int[Array, ""]
    food: Int[Array, ""]
    direction: Int[Array, ""]
    length: Int[Array, ""]
    num_steps: Int[Array, ""]
    past: tuple[Float[Array, "3 S S"], ...]


@struct.dataclass
class _Move:
    """Results of a move: flags `[]`."""

    has_eaten: Bool[Array, ""]
    has_left_board: Bool[Array, ""]
    has_bitten_itself: Bool[Array, ""]
    is_dead: Bool[Array, ""]


class Snake(Environment):
    """Steers a snake to its food by left (0), right (1), up (2) and down (3).

    It starts in the middle, three cells long, moving to the right, and grows by a cell with all
    food. An action against its direction is ignored. It dies by leaving the board or by moving to
    a cell of its own, even that which its tail is about to leave; this move is not made. Food
    appears on any free cell, all with equal probability. A board without a free cell is won, which
    ends the episode too.

    The observation `board`, `[3 * frame_stack, S, S]` of zeros and ones, has planes of the body
    with its head, of the food and of the head; those of earlier steps come first.
    """

    ctrl_dt = 0.1  # for films: ten moves in a second

    def __init__(
        self,
        grid_size: int = 12,
        max_steps: int | None = None,
        step_penalty: float = -0.01,
        death_penalty: float = -1.0,
        food_reward: float = 1.0,
        distance_reward_scale: float = 0.0,
        frame_stack: int = 1,
        is_time_out_failure: bool = False,
    ) -> None:
        """Makes a game.

        Args:
          grid_size: rows and columns S of the board, 5 to 100.
          max_steps: steps after which an episode times out, >= 1; 200 S by default.
          step_penalty: reward of a step without food, <= 0.
          death_penalty: reward of the step in which the snake dies, <= 0.
          food_reward: reward of food, >= 0.
          distance_reward_scale: reward of each cell by which the head comes nearer to the food, >=
            0: the change of a potential, which is the negative number of moves to the food (to the
            next food, once this one is eaten) and 0 after the last step of a game. So an episode
            that ends adds up to the distance at its start, whatever the policy does.
          frame_stack: steps that are observed together, 1 to 16.
          is_time_out_failure: True if the snake dies of a time-out, instead of moving; no value is
            expected of the board then.

        Raises:
          ValueError: if one of them is out of its range; it says what to write instead.
        """
        self.grid_size = _whole("grid_size", grid_size, 5, 100)
        most = 200 * self.grid_size if max_steps is None else max_steps
        self.max_steps = _whole("max_steps", most, 1, 2**30)
        self.step_penalty = _number("step_penalty", step_penalty, -math.inf, 0)
        self.death_penalty = _number("death_penalty", death_penalty, -math.inf, 0)
        self.food_reward = _number("food_reward", food_reward, 0, math.inf)
        self.distance_reward_scale = _number(
            "distance_reward_scale", distance_reward_scale, 0, math.inf
        )
        self.frame_stack = _whole("frame_stack", frame_stack, 1, 16)
        self.is_time_out_failure = bool(is_time_out_failure)

    @property
    def action_space(self) -> DiscreteActions:
        """Left, right, up or down."""
        return DiscreteActions(4)

    def reset(self, key: Key[Array, ""]) -> tuple[SnakeState, dict[str, Array]]:
        """Starts a game; the key places the food."""
        state = self._start()
        state = dataclasses.replace(state, food=self._new_food(state.age, key))
        planes = self._planes(state)
        frames = (planes,) * self.frame_stack
        return dataclasses.replace(state, past=frames[1:]), {"board": jnp.concatenate(frames)}

    def step(
        self, state: SnakeState, action: Int[Array, ""], key: Key[Array, ""]
    ) -> tuple[SnakeState, Timestep]:
        """Moves by one cell; the key places the next food, if this one is eaten."""
        return self._step(state, action, key, jnp.bool_(False))

    def step_or_reset(
        self,
        state: SnakeState,
        action: Int[Array, ""],
        key: Key[Array, ""],
        is_reset: Bool[Array, ""],
        context: RunContext,
    ) -> tuple[SnakeState, Timestep]:
        """See `Environment.step_or_reset`; a start and a step share the search for a free cell."""
        del context
        return self._step(state, action, key, is_reset)

    def picture(self, state: SnakeState) -> np.ndarray:
        """Returns a picture of the board, 16 pixels a cell."""
        return draw_board(np.asarray(state.age), int(state.head), int(state.food))

    def _step(
        self,
        state: SnakeState,
        action: Int[Array, ""],
        key: Key[Array, ""],
        is_reset: Bool[Array, ""],
    ) -> tuple[SnakeState, Timestep]:
        moved, move = self._move(state, action)
        start = dataclasses.replace(self._start(), past=state.past)
        after = jax.tree.map(lambda fresh, old: jnp.where(is_reset, fresh, old), start, moved)
        food = self._new_food(after.age, key)
        food = jnp.where(is_reset | move.has_eaten, food, after.food)
        after = dataclasses.replace(after, food=food)
        planes = self._planes(after)
        # Before the first step of an episode, the board has always looked like this.
        frames = (*(jnp.where(is_reset, planes, frame) for frame in state.past), planes)
        observations = {"board": jnp.concatenate(frames)}
        timestep = self._timestep(state, after, move, observations, ~is_reset)
        return dataclasses.replace(after, past=frames[1:]), timestep

    def _start(self) -> SnakeState:
        """Returns how every game begins, before there is food."""
        middle = self.grid_size // 2
        rows, columns = jnp.arange(self.grid_size)[:, None], jnp.arange(self.grid_size)[None]
        ages = columns - (middle - 2)  # 1, 2 and 3 from the tail to the head
        is_body = (rows == middle) & (ages >= 1) & (ages <= START_LENGTH)
        blank = jnp.zeros((3, self.grid_size, self.grid_size))
        return SnakeState(
            age=jnp.where(is_body, ages, 0).astype(jnp.int16),
            head=jnp.int32(middle * self.grid_size + middle + 1),
            food=jnp.int32(self.grid_size**2),
            direction=jnp.int32(RIGHT),
            length=jnp.int32(START_LENGTH),
            num_steps=jnp.int32(0),
            past=(blank,) * (self.frame_stack - 1),
        )

    def _move(self, state: SnakeState, action: Int[Array, ""]) -> tuple[SnakeState, _Move]:
        size = self.grid_size
        is_reversal = action == state.direction ^ 1
        direction = jnp.where(is_reversal, state.direction, action)
        row = lax.div(state.head, size) + (direction == DOWN) - (direction == UP)
        column = lax.rem(state.head, size) + (direction == RIGHT) - (direction == LEFT)
        has_left = (row < 0) | (row >= size) | (column < 0) | (column >= size)
        target = row * size + column
        is_target = self._cells() == target
        has_bitten = ~has_left & jnp.any(is_target & (state.age > 0))
        num_steps = state.num_steps + 1
        is_dead = has_left | has_bitten
        if self.is_time_out_failure:
            is_dead |= num_steps >= self.max_steps
        has_eaten = ~is_dead & (target == state.food)
        is_shifted = ~is_dead & ~has_eaten  # the tail follows
        length = state.length + has_eaten
        age = jnp.where(is_shifted, jnp.maximum(state.age - 1, 0), state.age)
        age = jnp.where(is_target & ~is_dead, length.astype(age.dtype), age)
        moved = dataclasses.replace(
            state,
            age=age,
            head=jnp.where(is_dead, state.head, target),
            direction=direction,
            length=length,
            num_steps=num_steps,
        )
        return moved, _Move(has_eaten, has_left, has_bitten, is_dead)

    def _new_food(self, age: Int[Array, "S S"], key: Key[Array, ""]) -> Int[Array, ""]:
        """Returns a free cell, or none if there is none; biased by less than S^2 / 2^32.

        The cell's place among the free ones is found in two steps, its row and its column: sums
        over the whole board take longer than all the rest of the game.
        """
        size = self.grid_size
        is_free = (age == 0).astype(jnp.int32)
        up_to_row = _running_sum(jnp.sum(is_free, axis=1))
        num_free = up_to_row[-1]
        bits = jax.random.bits(key, (), jnp.uint32)
        place = lax.rem(bits, jnp.maximum(num_free, 1).astype(jnp.uint32)).astype(jnp.int32)
        row = jnp.sum(up_to_row <= place)
        is_row = jnp.arange(size) == row
        free_in_row = jnp.sum(jnp.where(is_row[:, None], is_free, 0), axis=0)
        before_row = jnp.max(jnp.where(up_to_row <= place, up_to_row, 0))
        column = jnp.sum(_running_sum(free_in_row) <= place - before_row)
        return jnp.where(num_free > 0, row * size + column, size * size)

    def _planes(self, state: SnakeState) -> Float[Array, "3 S S"]:
        cells = self._cells()
        planes = (state.age > 0, cells == state.food, cells == state.head)
        return jnp.stack(planes).astype(jnp.float32)

    def _timestep(
        self,
        before: SnakeState,
        after: SnakeState,
        move: _Move,
        observations: dict[str, Array],
        is_step: Bool[Array, ""],
    ) -> Timestep:
        """Returns the results of a step: no reward and no flag where it starts an episode."""
        is_full = after.length >= self.grid_size**2
        is_terminated = move.is_dead | is_full
        is_over_time = after.num_steps >= self.max_steps
        reward = jnp.where(move.has_eaten, jnp.float32(self.food_reward), self.step_penalty)
        reward = jnp.where(move.is_dead, self.death_penalty, reward)
        if self.distance_reward_scale:
            nearness = jnp.where(is_terminated, 0, -self._distance(after))
            reward += self.distance_reward_scale * (nearness + self._distance(before))
        terminations = {
            "wall": move.has_left_board,
            "self": move.has_bitten_itself,
            "full_board": is_full,
            "time_out": is_over_time,
        }
        return Timestep(
            observations=observations,
            reward=jnp.where(is_step, reward, 0),
            is_terminated=is_step & is_terminated,
            is_truncated=is_step & is_over_time,
            metrics={"snake_length": jnp.where(is_step, after.length, 0).astype(jnp.float32)},
            terminations={name: is_step & flag for name, flag in terminations.items()},
        )

    def _distance(self, state: SnakeState) -> Float[Array, ""]:
        """Returns the moves from the head to the food on a board without a snake."""
        size = self.grid_size
        rows = jnp.abs(lax.div(state.head, size) - lax.div(state.food, size))
        columns = jnp.abs(lax.rem(state.head, size) - lax.rem(state.food, size))
        return (rows + columns).astype(jnp.float32)

    def _cells(self) -> Int[Array, "S S"]:
        return jnp.arange(self.grid_size**2).reshape(self.grid_size, self.grid_size)


def _running_sum(values: Int[Array, "n"]) -> Int[Array, "n"]:
    """Returns sums up to each element: n^2 additions side by side, which is faster for a row."""
    index = jnp.arange(values.shape[0])
    return jnp.sum(jnp.where(index[:, None] >= index[None], values[None], 0), axis=1)


def _whole(name: str, value: int, lowest: int, highest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise ValueError(
            f"Snake({name}={value!r}): a whole number from {lowest} to {highest}."
            f" Write, for example, {name}={max(lowest, min(12, highest))}."
        )
    return value


def _number(name: str, value: float, lowest: float, highest: float) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not lowest <= value <= highest:
        rule, example = ("at least 0", 1.0) if lowest == 0 else ("at most 0", -1.0)
        raise ValueError(
            f"Snake({name}={value!r}): a number, {rule}. Write, for example, {name}={example}."
        )
    return float(value)
