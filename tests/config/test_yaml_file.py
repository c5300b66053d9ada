"""Config files."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ksim.config import Config, ConfigError, load_config, option, save_config

QUOTES = "Text that YAML reads as something else needs quotes."


class Mode(Enum):
    TRAIN = "train"
    NO = "no"


@dataclass
class Run(Config):
    """The run."""

    num_envs: int = option(64, help="Environments.", unit="environments", minimum=1)
    run_dir: str | None = option(None, help="Where it goes. " * 7)


@dataclass
class Learning(Run):
    gamma: float = option(0.97, help="Discount.", above=0, maximum=1)
    sizes: tuple[int, ...] = (8, 8)
    limits: tuple[float, float] | None = None
    names: list[str] = option([], help="Names.")
    mode: Mode = Mode.TRAIN
    path: Path | None = None
    flag: bool = False
    either: float | str = 1.0
    anything: Any = None


def test_the_file_is_grouped_and_commented(tmp_path):
    file = tmp_path / "config.yaml"
    save_config(Run(num_envs=8, run_dir="a b"), file)
    assert file.read_text() == (
        "# Run\n"
        "\n"
        "# ---- The run ----\n"
        "# Environments. [environments]\n"
        "num_envs: 8\n"
        "# Where it goes." + 5 * " Where it goes." + " Where\n"
        "# it goes.\n"
        'run_dir: "a b"\n'
    )


def test_what_is_left_out_is_a_comment(tmp_path):
    file = tmp_path / "config.yaml"
    save_config(Run(num_envs=8, run_dir="a b"), file, left_out=["run_dir", "elsewhere"])
    assert file.read_text().endswith('# it goes.\n# Not repeated: run_dir: "a b"\n')
    assert load_config(Run(), file) == Run(num_envs=8)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"gamma": 1e-5},
        {"gamma": 0.1 + 0.2},
        {"gamma": 5e-324},
        {"sizes": ()},
        {"sizes": (1,)},
        {"limits": (1.0, 2.5e-7)},
        {"names": ["null", "1e-3", "yes", "a, b", "]"]},
        {"mode": Mode.NO},
        {"path": Path("/a b/c: d")},
        {"flag": True},
        {"either": "1e-3"},
        {"either": 1e-3},
        *({"run_dir": text} for text in ("null", "1e-3", "yes", "007", "", "~", "a: b #c")),
        {"run_dir": "'\"\n\té😀\x85"},
    ],
)
def test_round_trip_is_exact(values, tmp_path):
    config = Learning(**values)
    save_config(config, tmp_path / "config.yaml")
    loaded = load_config(Learning(num_envs=1), tmp_path / "config.yaml")
    assert loaded == config
    assert repr(loaded) == repr(config)  # types too


def test_numbers_of_numpy_are_written_as_plain_ones(tmp_path):
    config = Learning(gamma=np.float64(0.001), limits=(np.float64(0.5), 1.0))
    save_config(config, tmp_path / "config.yaml")
    loaded = load_config(Learning(), tmp_path / "config.yaml")
    assert (loaded.gamma, loaded.limits) == (0.001, (0.5, 1.0))


def test_what_yaml_cannot_give_back_is_not_saved(tmp_path):
    with pytest.raises(TypeError, match="anything: a function cannot be written as YAML"):
        save_config(Learning(anything=lambda: 0), tmp_path / "config.yaml")
    assert not (tmp_path / "config.yaml").exists()


def error_of(text: str | bytes, tmp_path: Path) -> str:
    file = tmp_path / "walk.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as error:
        load_config(Learning(), file)
    return str(error.value).removeprefix(str(tmp_path / "walk.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# a\nnum_env: 3\n", ', line 2: num_env: no such option. Did you mean "num_envs"? '),
        ("num_envs: a", ", line 1: num_envs=a: expected int. Write, for example, num_envs: 64"),
        ("run_dir: 007", f", line 1: run_dir=7: expected str | null. {QUOTES}"),
        ("num_envs: 010", ", line 1: num_envs: 010 begins with a 0, "),
        ("sizes:\n- 8\n- 016\n", ", line 1: sizes: 016 begins with a 0, "),
        ("gamma: 1:30", ", line 1: gamma: 1:30 is a number to the base of 60"),
        ("run_dir: 2020-01-01", ", line 1: run_dir=datetime.date(2020, 1, 1): expected str"),
        ("names: [yes]", f", line 1: names=[true]: expected list[str]. {QUOTES}"),
        ("gamma: .5\n\ngamma: .6", ", line 3: gamma is given twice. Write it once."),
        ("sizes: [1\ngamma: 2\n", ", line 2: malformed YAML: "),
        ("gamma: .5\n\tsizes: 2\n", ", line 2: malformed YAML: "),
        ("gamma: &a .5\neither: *a\n", ", line 2: malformed YAML: aliases (*name) are not read."),
        ("path: !!python/name:os.system ''", ", line 1: malformed YAML: could not determine"),
        ("run_dir: 2020-13-45", ": malformed YAML: month must be in 1..12."),
        (b"run_dir: \xff", ": malformed YAML: 'utf-8' codec can't decode"),
        ("- num_envs", ": not a mapping. Write one `option: value` on each line."),
        ("num_envs", ": not a mapping. Write one `option: value` on each line."),
        ("run_dir: ${env:A}", ', line 1: run_dir="${env:A}": ${...} is never filled in.'),
        ("sizes: ['${a}']", ', line 1: sizes=["${a}"]: ${...} is never filled in.'),
        ("num_envs: 0", "num_envs=0: must be at least 1."),
    ],
)
def test_bad_files(text, message, tmp_path):
    assert error_of(text, tmp_path).startswith(message)


def test_an_empty_file_changes_nothing(tmp_path):
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert load_config(Learning(num_envs=3), tmp_path / "empty.yaml") == Learning(num_envs=3)


def test_a_missing_file(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load_config(Learning(), tmp_path / "none.yaml")
