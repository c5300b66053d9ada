"""The game of snake in plain Python: a list of cells, and food that is given."""

import numpy as np

MOVES = {0: (0, -1), 1: (0, 1), 2: (-1, 0), 3: (1, 0)}
OPPOSITE = {0: 1, 1: 0, 2: 3, 3: 2}


class SlowSnake:
    """One game; `food` is set from outside whenever there has to be another."""

    def __init__(self, options, food):
        self.options = options
        self.size = options["grid_size"]
        self.max_steps = options.get("max_steps") or 200 * self.size
        middle = self.size // 2
        self.body = [(middle, middle - 1), (middle, middle), (middle, middle + 1)]
        self.direction = 1
        self.num_steps = 0
        self.give_food(food)
        self.frames = [self.planes()] * options.get("frame_stack", 1)

    def give_food(self, food):
        assert food is None or (food not in self.body and min(food) >= 0 and max(food) < self.size)
        assert (food is None) == (len(self.body) == self.size**2)
        self.food = food

    def target(self, action):
        """Where an action leads, and the direction that it means."""
        direction = self.direction if action == OPPOSITE[self.direction] else action
        (row, column), (down, right) = self.body[-1], MOVES[direction]
        return (row + down, column + right), direction

    def dies_at(self, cell):
        return min(cell) < 0 or max(cell) >= self.size or cell in self.body

    def step(self, action, next_food):
        """Returns the reward, whether it terminated and whether it timed out.

        `next_food` is called if the food is eaten.
        """
        options, before = self.options, self.distance()
        target, self.direction = self.target(action)
        self.num_steps += 1
        is_over_time = self.num_steps >= self.max_steps
        is_dead = self.dies_at(target)
        if options.get("is_time_out_failure") and is_over_time:
            is_dead = True
        if is_dead:
            reward = options.get("death_penalty", -1.0)
        elif target == self.food:
            reward = options.get("food_reward", 1.0)
            self.body.append(target)
            self.give_food(next_food())
        else:
            reward = options.get("step_penalty", -0.01)
            self.body = [*self.body[1:], target]
        is_terminated = is_dead or len(self.body) == self.size**2
        after = 0 if is_terminated else self.distance()
        reward += options.get("distance_reward_scale", 0.0) * (before - after)
        self.frames = [*self.frames[1:], self.planes()]
        return reward, is_terminated, is_over_time

    def distance(self):
        if self.food is None:
            return 0
        return sum(abs(a - b) for a, b in zip(self.body[-1], self.food, strict=True))

    def planes(self):
        planes = np.zeros((3, self.size, self.size), np.float32)
        for cell in self.body:
            planes[0][cell] = 1
        if self.food is not None:
            planes[1][self.food] = 1
        planes[2][self.body[-1]] = 1
        return planes

    def board(self):
        return np.concatenate(self.frames)


def random_action(game, rng):
    return int(rng.integers(4))


def greedy_action(game, rng):
    """Goes nearest to the food without dying at once, if that is possible."""
    moves = {action: game.target(action)[0] for action in rng.permutation(4).tolist()}
    alive = [action for action, cell in moves.items() if not game.dies_at(cell)]

    def distance(action):
        return sum(abs(a - b) for a, b in zip(moves[action], game.food, strict=True))

    return min(alive, key=distance) if alive else int(rng.integers(4))


def cycle_action(game, rng):
    """Follows a closed path through all cells of a board of even size.

    Rows to and fro through the columns from 1 on, then back along column 0; upside down where the
    middle row would run to the left, against the snake's first direction.
    """
    last = game.size - 1
    row, column = game.body[-1]
    is_flipped = (game.size // 2) % 2 == 1
    row = last - row if is_flipped else row
    if column == 0:
        action = 1 if row == 0 else 2
    elif row % 2 == 0:
        action = 1 if column < last else 3
    else:
        action = 0 if column > 1 or row == last else 3
    return {2: 3, 3: 2}.get(action, action) if is_flipped else action
