"""Overrides and YAML files on the command line."""

import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import pytest

from ksim.config import Config, ConfigError, option, parse_command_line

HINT = "--help lists all options."


class Mode(Enum):
    TRAIN = "train"
    NO = "no"


@dataclass
class Example(Config):
    """Examples."""

    num_envs: int = option(64, help="Environments.", minimum=1)
    gamma: float = option(0.9, help="Discount.", above=0, maximum=1)
    target_kl: float | None = option(None, help="Target.", above=0)
    hidden_sizes: tuple[int, ...] = option((8, 8), help="Sizes.", minimum=1)
    limits: tuple[float, float] | None = None
    run_dir: str | None = option(None, help="Directory.")
    axis: str = option("device", help="Axis.")
    names: list[str] = option([], help="Names.")
    path: Path = Path()
    mode: Mode = Mode.TRAIN
    flag: bool = False
    either: float | str = 1.0


def error_of(*arguments: str, config: Config | None = None) -> str:
    with pytest.raises(ConfigError) as error:
        parse_command_line(config or Example(), arguments)
    return str(error.value)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("num_envs=8", 8),
        ("num_envs = 8", 8),
        ("gamma=1e-3", 0.001),
        ("gamma=1", 1.0),
        ("target_kl=0.5", 0.5),
        ("target_kl=null", None),
        ("hidden_sizes=[256,256]", (256, 256)),
        ("hidden_sizes=[256, 256]", (256, 256)),
        ("hidden_sizes=[]", ()),
        ("limits=[1,2]", (1.0, 2.0)),
        ("limits=null", None),
        ("run_dir=null", None),
        ("run_dir='null'", "null"),
        ("run_dir=/tmp/a b", "/tmp/a b"),
        ("run_dir=C:/a: b#c=d", "C:/a: b#c=d"),
        ("run_dir=007", "007"),
        ("run_dir=1e-3", "1e-3"),
        ("run_dir=[1]", "[1]"),
        ("run_dir=yes", "yes"),
        ("run_dir=@{x}", "@{x}"),
        ("run_dir=a.yaml", "a.yaml"),
        ('axis=""', ""),
        ("names=[a, b]", ["a", "b"]),
        ("path=/a/b", Path("/a/b")),
        ("mode=NO", Mode.NO),
        ("flag=true", True),
        ("flag=yes", True),
        ("flag=0", False),
        ("either=2.5", 2.5),
        ("either=a", "a"),
    ],
)
def test_overrides(argument, value):
    parsed = parse_command_line(Example(), [argument])
    name = argument.partition("=")[0].strip()
    assert getattr(parsed, name) == value
    assert type(getattr(parsed, name)) is type(value)


def test_a_new_instance_of_the_same_class_keeps_the_instances_defaults():
    @dataclass
    class Mine(Example):
        my_param: float = 1.0

    config = Mine(num_envs=5, gamma=0.5)
    parsed = parse_command_line(config, ["gamma=0.25", "my_param=2"])
    assert parsed == Mine(num_envs=5, gamma=0.25, my_param=2.0)
    assert type(parsed) is Mine
    assert config == Mine(num_envs=5, gamma=0.5)


def test_files_apply_in_order_and_overrides_win(tmp_path):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yml"
    first.write_text("num_envs: 1\ngamma: 0.1\nhidden_sizes: [1]\n")
    second.write_text("num_envs: 2\ngamma: 0.2\n")
    parsed = parse_command_line(Example(), ["num_envs=3", str(first), str(second)])
    assert (parsed.num_envs, parsed.gamma, parsed.hidden_sizes) == (3, 0.2, (1,))


def test_a_file_in_a_directory_with_an_equals_sign(tmp_path):
    file = tmp_path / "a=b" / "run.yaml"
    file.parent.mkdir()
    file.write_text("num_envs: 1\n")
    assert parse_command_line(Example(), [str(file)]).num_envs == 1


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("num_env=3", f'num_env: no such option. Did you mean "num_envs"? {HINT}'),
        ("num-envs=3", f'num-envs: no such option. Did you mean "num_envs"? {HINT}'),
        ("zzz=3", f"zzz: no such option. {HINT}"),
        ("names.0=3", f'names.0: no such option. Did you mean "names"? {HINT}'),
        ("num_envs=ten", "num_envs=ten: expected int. Write, for example, num_envs=64"),
        ("num_envs=1.5", "num_envs=1.5: expected int. Write, for example, num_envs=64"),
        ("num_envs=true", "num_envs=true: expected int. Write, for example, num_envs=64"),
        ("num_envs=null", "num_envs=null: expected int. Write, for example, num_envs=64"),
        ("num_envs=???", "num_envs=???: expected int. Write, for example, num_envs=64"),
        ("num_envs={a: 1}", "num_envs={a: 1}: expected int. Write, for example, num_envs=64"),
        ("num_envs=0", "num_envs=0: must be at least 1. Write, for example, num_envs=64"),
        ("gamma=a", "gamma=a: expected float. Write, for example, gamma=0.9"),
        ("gamma=true", "gamma=true: expected float. Write, for example, gamma=0.9"),
        ("gamma=.nan", "gamma=nan: must be a finite number. Write, for example, gamma=0.9"),
        ("target_kl=a", "target_kl=a: expected float | null. Write, for example, target_kl=0.5"),
        (
            "hidden_sizes=3",
            "hidden_sizes=3: expected tuple[int, ...]. Write, for example, hidden_sizes=[8,8]",
        ),
        (
            "hidden_sizes=[1",
            "hidden_sizes=[1: expected tuple[int, ...]. Write, for example, hidden_sizes=[8,8]",
        ),
        (
            "limits=[1,2,3]",
            "limits=[1,2,3]: expected tuple[float, float] | null. Write, for example, limits=[1,1]",
        ),
        ("axis=null", "axis=null: expected str. Write, for example, axis=device"),
        ("mode=b", "mode=b: expected TRAIN | NO. Write, for example, mode=TRAIN"),
        ("flag=2", "flag=2: expected bool. Write, for example, flag=false"),
        ("flag=maybe", "flag=maybe: expected bool. Write, for example, flag=false"),
        (
            "names=[007, a]",
            "names=[007, a]: expected list[str]. Text that YAML reads as something else needs "
            "quotes. Write, for example, names=[]",
        ),
        (
            "num_envs=010",
            "num_envs: 010 begins with a 0, which makes a number octal in YAML. Write 10",
        ),
        (
            "num_envs=08",
            "num_envs: 08 begins with a 0, which makes a number octal in YAML. Write 8",
        ),
        (
            "hidden_sizes=[4, 016]",
            "hidden_sizes: 016 begins with a 0, which makes a number octal in YAML. Write 16",
        ),
        (
            "num_envs=1:30",
            "num_envs: 1:30 is a number to the base of 60 in YAML. Write a number without colons.",
        ),
        (
            "gamma=0:0.5",
            "gamma: 0:0.5 is a number to the base of 60 in YAML. Write a number without colons.",
        ),
        ("run_dir=", "run_dir=: no value given. Write, for example, run_dir=some_text"),
        ("run_dir=${HOME}", "run_dir=${HOME}: ${...} is never filled in. Write the value itself."),
        ("gamma=${x", "gamma=${x: ${...} is never filled in. Write the value itself."),
        ("=3", "=3: no option before the =. Write option=value."),
        ("=a.yaml", "=a.yaml: no option before the =. Write option=value."),
        ("num_envs", "num_envs: neither option=value nor a .yaml file. Write num_envs=64"),
        ("train", f"train: neither option=value nor a .yaml file. {HINT}"),
        ("--num-envs=8", "--num-envs=8: options are written without dashes. Write num_envs=8"),
        ("--num_envs", "--num_envs: options are written without dashes. Write num_envs=VALUE"),
    ],
)
def test_bad_arguments(argument, message):
    assert error_of(argument) == message


def test_an_option_given_twice_is_refused():
    assert error_of("num_envs=3", "gamma=0.5", "num_envs=4") == (
        "num_envs is given twice: num_envs=3 and num_envs=4. Write it once."
    )


def test_a_missing_file_names_the_nearest_one(tmp_path):
    (tmp_path / "walk.yaml").write_text("")
    missing = tmp_path / "wlak.yaml"
    assert error_of(str(missing)) == f'{missing}: no such file. Did you mean "walk.yaml"?'


def test_the_result_is_validated_with_the_subclasses_rules():
    @dataclass
    class Even(Example):
        def validate(self) -> None:
            super().validate()
            if self.num_envs % 2:
                raise ConfigError(f"num_envs={self.num_envs}: must be even.")

    assert parse_command_line(Even(num_envs=3), ["num_envs=4"]).num_envs == 4
    assert error_of("num_envs=5", config=Even()) == "num_envs=5: must be even."


@pytest.mark.parametrize("word", ["--help", "-h", "help"])
def test_help_wins_over_everything_else(word, capsys):
    with pytest.raises(SystemExit) as stop:
        parse_command_line(Example(num_envs=5), ["zzz=3", word])
    assert stop.value.code == 0
    assert "num_envs=5 " in capsys.readouterr().out


def test_a_class_defined_in_main(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from __future__ import annotations\n"
        "import sys\n"
        "from dataclasses import dataclass\n"
        "from ksim.config import Config, parse_command_line\n"
        "@dataclass\n"
        "class Mine(Config):\n"
        "    my_param: float | None = 1.0\n"
        "print(parse_command_line(Mine(), sys.argv[1:]))\n"
    )
    run = [sys.executable, str(script)]
    assert subprocess.check_output([*run, "my_param=3"], text=True) == "Mine(my_param=3.0)\n"
    text = subprocess.check_output([*run, "--help"], text=True)
    assert text.startswith("Usage: python script.py [config.yaml ...] [option=value ...]\n")
