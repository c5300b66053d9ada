"""Options that are written `auto`."""

import copy
import dataclasses
from dataclasses import dataclass

import pytest

from ksim.config import (
    AUTO,
    Automatic,
    Config,
    ConfigError,
    format_help,
    load_config,
    option,
    option_table,
    parse_command_line,
    save_config,
)


@dataclass
class Run(Config):
    """The run."""

    num_envs: int = option(8, help="Environments.", minimum=1, has_auto=True)
    seed: int = option(0, help="Seed.", minimum=0)


def test_auto_on_the_command_line_and_in_a_file(tmp_path):
    assert parse_command_line(Run(), ["num_envs=auto"]).num_envs is AUTO
    (tmp_path / "run.yaml").write_text("num_envs: auto\n")
    assert parse_command_line(Run(), [str(tmp_path / "run.yaml")]).num_envs is AUTO


def test_a_config_with_auto_is_saved_and_loaded(tmp_path):
    save_config(Run(num_envs=AUTO), tmp_path / "config.yaml")
    assert "num_envs: auto" in (tmp_path / "config.yaml").read_text()
    assert load_config(Run(), tmp_path / "config.yaml").num_envs is AUTO


def test_auto_survives_copies():
    config = copy.deepcopy(dataclasses.replace(Run(num_envs=AUTO), seed=1))
    config.validate()
    assert isinstance(config.num_envs, Automatic)


def test_zero_is_not_auto():
    with pytest.raises(ConfigError, match="num_envs=0: must be at least 1"):
        Run(num_envs=0).validate()


def test_other_options_cannot_be_auto():
    with pytest.raises(
        ConfigError, match=r"seed=auto: cannot be auto\. Write, for example, seed=0"
    ):
        Run(seed=AUTO).validate()
    with pytest.raises(ConfigError, match=r"seed=auto: expected int\."):
        parse_command_line(Run(), ["seed=auto"])


def test_the_help_and_the_tables_say_so():
    assert "int | auto" in format_help(Run())
    assert r"int \| auto" in option_table(Run)


def test_a_note_stands_above_the_option(tmp_path):
    save_config(Run(), tmp_path / "config.yaml", {"num_envs": "chosen by a toss."})
    assert "# Environments.\n# chosen by a toss.\nnum_envs: 8\n" in (
        (tmp_path / "config.yaml").read_text()
    )
