"""The drawings and the tables of architecture.md say what is so."""

import ast
import dataclasses
import re
import tomllib
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree

import jax
import numpy as np
import pytest

from ksim.rl import EnvState, Trajectory
from ksim.training.train_state import TrainState
from tests.small_cartpole import request, small_task

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
NUM_STEPS, NUM_ENVS = 16, 8
AXES = {"T": NUM_STEPS, "n": NUM_ENVS}


def layers():
    """The rooms of each floor as lint knows them, the highest floor first."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    contracts = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    (floors,) = [contract["layers"] for contract in contracts if "layers" in contract]
    return [floor.split(" | ") for floor in floors]


def texts_of(drawing):
    """The texts of a drawing, with their places, from top to bottom and left to right."""
    tree = ElementTree.parse(ROOT / "docs" / drawing)
    texts = tree.iter("{http://www.w3.org/2000/svg}text")
    return sorted((int(text.get("y")), int(text.get("x")), text.text) for text in texts)


def rows_of_the_table_below(heading):
    table = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [row.strip("|").split("|") for row in table.splitlines() if row.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_the_drawing_of_the_floors_shows_those_that_lint_keeps():
    names = [text for text in texts_of("floors.svg") if text[2].startswith("ksim.")]
    rows = [[name for _, _, name in row] for _, row in groupby(names, key=lambda text: text[0])]
    assert rows == [[f"ksim.{room}" for room in floor] for floor in layers()]
    numbers = [int(text) for _, _, text in texts_of("floors.svg") if text.isdigit()]
    assert numbers == list(reversed(range(len(rows))))


def test_the_table_of_the_floors_has_those_that_lint_keeps():
    found = [(int(row[0]), row[1].strip("`")) for row in rows_of_the_table_below("The floors")]
    numbers = reversed(range(len(layers())))
    rooms = [(number, floor) for number, floor in zip(numbers, layers(), strict=True)]
    assert found == [(number, f"ksim.{room}") for number, floor in rooms for room in floor]


def table_in_the_drawing(title):
    """The names and shapes below a title in the drawing of an iteration, in its first place."""
    texts = texts_of("iteration.svg")
    top, left, _ = next(text for text in texts if text[2] == title)
    rows = {}
    for line in range(1, 20):
        names = [text for y, x, text in texts if (y, x) == (top + 2 + 18 * line, left)]
        if not names:
            return rows
        y = top + 2 + 18 * line
        shape = min((x, text) for at, x, text in texts if at == y and x > left)[1]
        rows |= dict.fromkeys(names[0].split(", "), shape)
    return rows


def drawn_fields(cls, but=()):
    return {field.name for field in dataclasses.fields(cls)} - set(but)


@pytest.fixture(scope="module")
def shapes():
    """What a device holds in an iteration, by class."""
    config = {"num_envs": NUM_ENVS, "num_devices": 1, "rollout_length_frames": NUM_STEPS}
    program = small_task(**config).build()
    train_state, env_state = program.train_state_shapes, program.environment_shapes
    env_state, trajectory, _ = jax.eval_shape(
        program.rollout_on_device, train_state, env_state, request(program, 0)
    )
    return {"TrainState": train_state, "EnvState": env_state, "Trajectory": trajectory}


@pytest.mark.parametrize("cls", [EnvState, Trajectory])
def test_the_drawing_of_an_iteration_has_the_shapes_of_a_program(cls, shapes):
    drawn = table_in_the_drawing(cls.__name__)
    # Between rollouts environments hold nothing of the run's memory.
    assert drawn.keys() == drawn_fields(cls, but=["run_memory"])
    for name, text in drawn.items():
        value = getattr(shapes[cls.__name__], name)
        assert text.startswith("{name: ") == isinstance(value, dict), name
        axes = re.search(r"\[([^\[\]]*)\]", text)[1].split(", ")
        lengths = tuple(AXES[axis] for axis in axes if axis != "...")
        for leaf in jax.tree.leaves(value):
            assert leaf.shape[: len(lengths)] == lengths, name
            assert "..." in axes or leaf.shape == lengths, name


def test_the_drawing_of_an_iteration_has_the_fields_of_the_train_state(shapes):
    drawn = table_in_the_drawing("TrainState")
    assert drawn.keys() == drawn_fields(TrainState)
    scalars = [name for name, text in drawn.items() if text == "[]"]
    assert scalars == ["level", "iteration", "key"]
    assert [np.shape(getattr(shapes["TrainState"], name)) for name in scalars] == [()] * 3


QUESTIONS = rows_of_the_table_below("Where do I change ...")


def test_there_are_ten_questions():
    assert len(QUESTIONS) == 10


@pytest.mark.parametrize(("question", "file", "name"), QUESTIONS)
def test_a_question_is_answered_by_the_file_that_defines_the_name(question, file, name):
    nodes = [ast.parse((ROOT / file.strip("`")).read_text(encoding="utf-8"))]
    for part in name.strip("`").split("."):
        nodes = [
            node
            for parent in nodes
            for node in parent.body
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == part
        ]
    assert len(nodes) == 1, f"{question}: {file} does not define {name}"
