"""Types of values and their text."""

from enum import Enum
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import yaml

from ksim.config.value import (
    is_of_type,
    is_text_type,
    leaves,
    misread_number_problem,
    type_text,
    value_text,
)


class Mode(Enum):
    TRAIN = "train"
    NO = "no"


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (1, int, True),
        (1.0, int, False),
        (True, int, False),
        (True, float, False),
        (1, float, True),
        (True, bool, True),
        (1, bool, False),
        ("a", str, True),
        (None, float | None, True),
        ("a", float | None, False),
        ((1, 2), tuple[int, ...], True),
        ((), tuple[int, ...], True),
        ([1, 2], tuple[int, ...], False),
        ((1, "a"), tuple[int, ...], False),
        ((1.0, 2), tuple[float, float], True),
        ((1.0,), tuple[float, float], False),
        (((1, 2), (3, 4)), tuple[tuple[int, int], ...], True),
        (["a"], list[str], True),
        (("a",), list[str], False),
        (Mode.TRAIN, Mode, True),
        ("TRAIN", Mode, False),
        (Path("a"), Path, True),
        (object(), Any, True),
    ],
)
def test_is_of_type(value, annotation, expected):
    assert is_of_type(value, annotation) is expected


def test_a_type_that_no_option_can_have_is_refused():
    with pytest.raises(TypeError, match=r"choices="):
        is_of_type("a", Literal["a"])


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (float | None, "float | null"),
        (tuple[int, ...], "tuple[int, ...]"),
        (list[str], "list[str]"),
        (Mode, "TRAIN | NO"),
    ],
)
def test_type_text(annotation, text):
    assert type_text(annotation) == text


def test_is_text_type():
    assert is_text_type(str)
    assert is_text_type(Path | None)
    assert is_text_type(Mode)
    assert not is_text_type(str | float)
    assert not is_text_type(tuple[str, ...])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (3, "3"),
        (1e-5, "1.0e-05"),
        (0.25, "0.25"),
        (np.float64(0.001), "0.001"),
        ((np.float64(1e-5), 2.0), "[1.0e-05,2.0]"),
        ((256, 256), "[256,256]"),
        (((1, 2), (3, 4)), "[[1,2],[3,4]]"),
        (Mode.TRAIN, "TRAIN"),
        (Mode.NO, '"NO"'),
        (Path("runs/a"), "runs/a"),
        ("train", "train"),
        ("a b", '"a b"'),
        ("", '""'),
        ("Yes", '"Yes"'),
        ("007", '"007"'),
    ],
)
def test_value_text(value, text):
    assert value_text(value) == text


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "1e-3",
        "yes",
        "~",
        "a: b",
        "#a",
        "a,b",
        "a]",
        "'",
        '"',
        "\n",
        "\t",
        "é😀",
        "\x85",
        "-",
    ],
)
def test_text_is_read_back_unchanged_by_yaml(text):
    assert yaml.safe_load(f"[{value_text(text)}]") == [text]
    assert "\n" not in value_text(text)


@pytest.mark.parametrize("value", [1e-5, 1e16, 0.1 + 0.2, 1e300, -2.5e-300, 3.0])
def test_floats_are_read_back_bit_for_bit_by_yaml(value):
    assert yaml.safe_load(value_text(value)) == value


@pytest.mark.parametrize(
    ("text", "plain"),
    [("010", "10"), ("-007", "-7"), ("+0_1", "+1"), ("00", "0"), ("08", "8"), ("0123", "123")],
)
def test_numbers_with_a_leading_0(text, plain):
    assert misread_number_problem(text).endswith(f"Write {plain}")


@pytest.mark.parametrize("text", ["1:30", "-1:30", "1:30.5", "10:00:00"])
def test_numbers_with_colons(text):
    assert misread_number_problem(text) == (
        f"{text} is a number to the base of 60 in YAML. Write a number without colons."
    )


@pytest.mark.parametrize("text", ["0", "-0", "0.5", "00.5", "10", "1_000", "0x10", "1e-05", "a:1"])
def test_numbers_that_are_what_they_seem(text):
    assert misread_number_problem(text) is None


def test_leaves():
    assert list(leaves(((1, 2), [3], 4))) == [1, 2, 3, 4]
    assert list(leaves("ab")) == ["ab"]
