"""Draws the board of a game of snake, on the host, with NumPy."""

import numpy as np

CELL_PIXELS = 16

BOARD = (24, 26, 32)
LINES = (36, 39, 47)
FOOD = (235, 72, 62)
TAIL = (24, 92, 62)
NECK = (72, 206, 126)
HEAD = (250, 220, 92)


def draw_board(age: np.ndarray, head: int, food: int) -> np.ndarray:
    """Returns a picture of a board; the body grows brighter from the tail to the head.

    Args:
      age: `[S, S]` moves after which the snake has left a cell; 0 where it is free.
      head: cell of the head, counted row by row.
      food: cell of the food; S^2 for none.

    Returns:
      `[16 S, 16 S, 3]` uint8.
    """
    size = age.shape[0]
    cells = np.where(age[..., None] > 0, _body(age), np.array(BOARD))
    if food < size**2:
        cells[divmod(food, size)] = FOOD
    cells[divmod(head, size)] = HEAD
    picture = cells.repeat(CELL_PIXELS, axis=0).repeat(CELL_PIXELS, axis=1)
    picture[::CELL_PIXELS] = picture[:, ::CELL_PIXELS] = LINES
    return picture.astype(np.uint8)


def _body(age: np.ndarray) -> np.ndarray:
    share = (age / max(age.max(), 1))[..., None]
    return np.rint(np.array(TAIL) + share * (np.array(NECK) - np.array(TAIL))).astype(int)
