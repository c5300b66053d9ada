"""Draws the pictures of `architecture.md`; `docs/generate.py` writes and checks them.

`floors.svg` takes its rooms from the contract in `pyproject.toml` that lint keeps. `iteration.svg`
is drawn by hand here; `tests/docs/test_drawings.py` compares its shapes with a program's.
"""

import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"

# A few words for each room; what stands in the table of architecture.md, shorter.
ROOMS = {
    "vibe_rl": "names of another guide",
    "__main__": "the command",
    "functional": "training by a function",
    "task": "what users subclass",
    "testing": "suites for what users write",
    "launch": "many processes",
    "preflight": "tried before a run",
    "render": "films, curves",
    "planning": "past this machine",
    "training": "the run: program, loop, start, saving, evaluation",
    "rl": "rollout, algorithms and extensions, updates over devices",
    "envs": "the environment contract; MuJoCo worlds made of terms",
    "terms": "rewards, observations, resets, ... and the parts they are made of",
    "parallel": "partitioners, averaging",
    "physics": "models, engines",
    "nn": "networks",
    "storage": "checkpoints",
    "xla": "XLA's and JAX's inside",
    "reporting": "what a person sees",
    "config": "options, command line, help; neither JAX nor MuJoCo",
}

INK, LINE, PALE, BOX = "#1f2933", "#7b8794", "#f5f7fa", "#ffffff"
TINTS = ("#dcecf7", "#e3f1e4", "#fdf0d5")  # replicated, sharded, computed


class Canvas:
    """An SVG of boxes, texts and arrows; places are in pixels from the upper left corner."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
            f' width="{width}" height="{height}" role="img" font-family="sans-serif">',
            f"<title>{escape(title)}</title>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8"'
            ' markerHeight="8" orient="auto-start-reverse">'
            f'<path d="M0,0 L8,4 L0,8 z" fill="{INK}"/></marker></defs>',
            f'<rect width="{width}" height="{height}" fill="{BOX}"/>',
        ]

    def box(self, x: int, y: int, width: int, height: int, fill: str = BOX) -> None:
        """Draws a rectangle."""
        self._parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="5" fill="{fill}"'
            f' stroke="{LINE}"/>'
        )

    def text(self, x: int, y: int, text: str, style: str = "", anchor: str = "start") -> None:
        """Writes one line; its base line is at `y`."""
        self._parts.append(
            f'<text x="{x}" y="{y}" fill="{INK}" text-anchor="{anchor}"'
            f' style="{style or SMALL}">{escape(text)}</text>'
        )

    def arrow(self, *corners: tuple[int, int], is_double: bool = False) -> None:
        """Draws a line through corners, with a tip at its end, or at both."""
        points = " ".join(f"{x},{y}" for x, y in corners)
        start = ' marker-start="url(#tip)"' if is_double else ""
        self._parts.append(
            f'<polyline points="{points}" fill="none" stroke="{INK}" stroke-width="1.5"'
            f' marker-end="url(#tip)"{start}/>'
        )

    def finish(self) -> str:
        """Returns the file's text."""
        return "\n".join([*self._parts, "</svg>"]) + "\n"


SMALL = "font-size:13px"
NAME = "font-size:14px;font-weight:bold"
CODE = "font-size:13px;font-family:monospace"


def floors() -> str:
    """Draws each floor as a row of rooms, the lowest at the bottom.

    Raises:
      KeyError: if a room has no words in `ROOMS`.
    """
    rows, height, width = read_floors(PYPROJECT), 56, 900
    canvas = Canvas(width, 40 + height * len(rows), "The floors: a file imports from lower ones")
    canvas.text(40, 25, "A file imports only from floors below its own.")
    for row, rooms in enumerate(rows):
        y, room_width = 40 + height * row, (width - 80) // len(rooms)
        canvas.text(30, y + 28, str(len(rows) - 1 - row), NAME, anchor="end")
        for column, room in enumerate(rooms):
            x = 40 + room_width * column
            canvas.box(x, y, room_width - 8, height - 10, TINTS[0])
            canvas.text(x + 10, y + 19, f"ksim.{room}", NAME)
            canvas.text(x + 10, y + 37, ROOMS[room])
    canvas.arrow((width - 18, 46), (width - 18, 40 + height * len(rows) - 16))
    return canvas.finish()


def read_floors(pyproject: Path) -> list[list[str]]:
    """Returns the rooms of each floor, the highest first, as import-linter is told them."""
    contracts = tomllib.loads(pyproject.read_text(encoding="utf-8"))["tool"]["importlinter"]
    (layers,) = (one["layers"] for one in contracts["contracts"] if one["type"] == "layers")
    return [layer.split(" | ") for layer in layers]


# Arrays of one device in one iteration, with n = num_envs / devices, as their classes name them.
ENV_STATE = (
    ("environment", "[n, ...]"),
    ("observations", "{name: [n, ...]}"),
    ("is_over, env_id, level", "[n]"),
    ("episode_return, episode_length", "[n]"),
    ("model_carry", "[n, ...]"),
)
TRAJECTORY = (
    ("observations", "{name: [T, n, ...]}"),
    ("kept", "{name: [T, n, ...]}"),
    ("reward", "[T, n]"),
    ("is_terminated, is_truncated, is_valid", "[T, n]"),
    ("final", "{name: [n, ...]}"),
    ("initial_carry", "[n, ...]"),
    ("env_id", "[n]"),
)
TRAIN_STATE = (
    ("learner", "networks, optimizer states, numbers"),
    ("normalizer", "count [], mean and variance {name: [...]}"),
    ("level, iteration, key", "[]"),
    ("curriculum_carry, run_memory", "small pytrees"),
)
UPDATE = (
    "remember: the rollout goes into memory",
    "prepare: advantages [T, n]",
    "num_passes * num_batches times:",
    "    minibatch [T, n / num_batches, ...]",
    "    gradients, and a step of the optimizer",
    "normalizer: moments of observations [T, n, ...]",
    "curriculum, run_memory: sums over the rollout",
)
AVERAGED = {1: "their mean", 4: "averaged", 5: "summed", 6: "summed"}  # over devices, by line


def iteration() -> str:
    """Draws one iteration from top to bottom: device 0 in full, another beside it."""
    canvas = Canvas(900, 806, "One iteration: arrays of one device, with their shapes")
    canvas.text(20, 22, "T control steps; n = num_envs / devices environments on each device.")
    _table(canvas, (10, 36), 880, "TrainState", "the same on every device", TRAIN_STATE, 0)
    canvas.box(10, 172, 620, 512, PALE)
    canvas.text(30, 192, "device 0", NAME)
    canvas.box(650, 172, 240, 512, PALE)
    canvas.text(670, 192, "device 1, ...", NAME)
    _table(canvas, (30, 204), 350, "EnvState", "", ENV_STATE, 1)
    canvas.box(410, 214, 200, 96, TINTS[2])
    _lines(canvas, 420, 234, "rollout", ("T times: Policy.act,", "Environment.step_or_reset"))
    canvas.text(420, 298, "communicates nothing")
    canvas.arrow((380, 262), (410, 262))
    canvas.arrow((510, 140), (510, 214))
    canvas.arrow((20, 140), (20, 545), (30, 545))
    canvas.arrow((510, 310), (510, 334))
    _table(canvas, (190, 334), 420, "Trajectory", "", TRAJECTORY, 1)
    _table(canvas, (30, 350), 130, "memory", "", (("[n, ...]", ""), ("() if none", "")), 1)
    canvas.arrow((400, 492), (400, 526))
    canvas.arrow((95, 418), (95, 526), is_double=True)
    canvas.box(30, 526, 580, 150, TINTS[2])
    _lines(canvas, 40, 545, "update, by PPO", UPDATE)
    for line, verb in AVERAGED.items():
        y = 564 + 17 * line
        canvas.text(600, y, verb, anchor="end")
        canvas.arrow((612, y - 4), (668, y - 4), is_double=True)
    _other_device(canvas)
    canvas.arrow((320, 676), (320, 712))
    canvas.arrow((770, 676), (770, 712))
    _table(canvas, (10, 712), 880, "TrainState", "of the next iteration; identical again", (), 0)
    canvas.text(20, 772, "EnvState and memory of the next iteration stay on their devices.")
    canvas.text(20, 792, "Metrics [], averaged, and sums of the rollout [devices] go to the host.")
    return canvas.finish()


def _other_device(canvas: Canvas) -> None:
    """Draws what another device does: the same, with environments of its own."""
    for y, height, name, tint in (
        (214, 96, "EnvState, rollout", TINTS[1]),
        (334, 158, "Trajectory, memory", TINTS[1]),
        (526, 150, "update", TINTS[2]),
    ):
        canvas.box(670, y, 200, height, tint)
        canvas.text(682, y + 20, name, NAME)
        canvas.text(682, y + 40, "the same, of n others")
    canvas.arrow((770, 140), (770, 214))
    canvas.arrow((660, 140), (660, 545), (670, 545))
    canvas.arrow((770, 310), (770, 334))
    canvas.arrow((770, 492), (770, 526))


def _table(
    canvas: Canvas,
    corner: tuple[int, int],
    width: int,
    title: str,
    note: str,
    rows: Sequence[tuple[str, str]],
    tint: int,
) -> None:
    """Draws a class, with a line for each of its fields."""
    (x, y), height = corner, 32 + 18 * len(rows)
    canvas.box(x, y, width, height, TINTS[tint])
    canvas.text(x + 10, y + 20, title, NAME)
    canvas.text(x + width - 10, y + 20, note, anchor="end")
    for line, (name, shape) in enumerate(rows):
        canvas.text(x + 10, y + 40 + 18 * line, name, CODE)
        canvas.text(x + width - 10, y + 40 + 18 * line, shape, CODE, anchor="end")


def _lines(canvas: Canvas, x: int, y: int, title: str, lines: Iterable[str]) -> None:
    canvas.text(x, y, title, NAME)
    for line, text in enumerate(lines):
        canvas.text(
            x + 14 * (len(text) - len(text.lstrip())) // 4, y + 19 + 17 * line, text.strip()
        )
