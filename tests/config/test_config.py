"""Validation, and defaults in a diamond of config classes."""

import subprocess
import sys
from dataclasses import dataclass, fields
from enum import Enum

import pytest

from ksim.config import Config, ConfigError, option


class Mode(Enum):
    TRAIN = "train"
    VIEW = "view"


@dataclass
class Example(Config):
    """Examples."""

    count: int = option(4, help="A count.", minimum=1)
    gamma: float = option(0.9, help="A discount.", above=0, maximum=1)
    target: float | None = option(None, help="A target.", above=0)
    sizes: tuple[int, ...] = option((8, 8), help="Sizes.", minimum=1)
    run_mode: str = option("train", help="What to do.", choices=("train", "view"))
    cameras: tuple[str, ...] = option((), help="Cameras.", choices=("front", "side"))
    mode: Mode = Mode.TRAIN
    flag: bool = False


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"count": 1},
        {"gamma": 1},
        {"target": 0.1},
        {"sizes": ()},
        {"cameras": ("side",)},
        {"mode": Mode.VIEW, "flag": True},
    ],
)
def test_good_values_pass(values):
    Example(**values).validate()


@pytest.mark.parametrize(
    ("values", "problem", "example"),
    [
        ({"count": 0}, "count=0: must be at least 1.", "count=4"),
        ({"count": 2.0}, "count=2.0: expected int.", "count=4"),
        ({"count": True}, "count=true: expected int.", "count=4"),
        ({"gamma": 0.0}, "gamma=0.0: must be above 0 and at most 1.", "gamma=0.9"),
        ({"gamma": 1.5}, "gamma=1.5: must be above 0 and at most 1.", "gamma=0.9"),
        ({"gamma": float("nan")}, "gamma=nan: must be a finite number.", "gamma=0.9"),
        ({"gamma": False}, "gamma=false: expected float.", "gamma=0.9"),
        ({"gamma": None}, "gamma=null: expected float.", "gamma=0.9"),
        ({"target": float("inf")}, "target=inf: must be a finite number.", "target=0.5"),
        ({"target": 0}, "target=0: must be above 0.", "target=0.5"),
        ({"sizes": (8, 0)}, "sizes=[8,0]: must be at least 1.", "sizes=[8,8]"),
        ({"sizes": [8]}, "sizes=[8]: expected tuple[int, ...].", "sizes=[8,8]"),
        (
            {"run_mode": "trian"},
            'run_mode=trian: must be one of train, view. Did you mean "train"?',
            "run_mode=train",
        ),
        ({"cameras": ("top",)}, "cameras=[top]: must be one of front, side.", "cameras=[]"),
        ({"mode": "TRAIN"}, "mode=TRAIN: expected TRAIN | VIEW.", "mode=TRAIN"),
        ({"flag": 1}, "flag=1: expected bool.", "flag=false"),
    ],
)
def test_bad_values_are_refused_with_the_rule_and_an_example(values, problem, example):
    with pytest.raises(ConfigError) as error:
        Example(**values).validate()
    assert str(error.value) == f"{problem} Write, for example, {example}"


def test_the_example_is_usable_where_the_default_is_not():
    @dataclass
    class Bad(Config):
        count: int = option(0, help="A count.", minimum=3)
        name: str = None

    with pytest.raises(ConfigError, match=r"count=0: .* Write, for example, count=3$"):
        Bad().validate()
    with pytest.raises(ConfigError, match=r"name=null: expected str\. .* name=some_text$"):
        Bad(count=3).validate()


def test_validate_is_cooperative():
    @dataclass
    class Pair(Example):
        low: float = 0.0
        high: float = 1.0

        def validate(self) -> None:
            super().validate()
            if self.low > self.high:
                raise ConfigError("low must not exceed high.")

    Pair().validate()
    with pytest.raises(ConfigError, match="low must not exceed"):
        Pair(low=2.0).validate()
    with pytest.raises(ConfigError, match="count=0"):
        Pair(low=2.0, count=0).validate()


@dataclass
class RLConfig(Config):
    """Reinforcement learning."""

    num_envs: int = option(64, help="Environments.", minimum=1)
    seed: int = option(0, help="The seed.")


@dataclass
class PPOConfig(RLConfig):
    """PPO."""

    gamma: float = option(0.97, help="Discount.")
    num_envs: int = 128


@dataclass
class DistributedRLConfig(RLConfig):
    """Distribution."""

    grad_sync_period: int = option(1, help="Updates.", minimum=1)
    seed: int = 7


@dataclass
class DistributedPPOConfig(DistributedRLConfig, PPOConfig):
    """Distributed PPO."""


def test_a_diamond_has_the_nearest_default_of_each_option():
    config = DistributedPPOConfig()
    # dataclass() alone would bring num_envs=64 back by way of DistributedRLConfig.
    assert (config.num_envs, config.seed, config.gamma) == (128, 7, 0.97)
    assert [f.name for f in fields(config)] == ["num_envs", "seed", "gamma", "grad_sync_period"]
    with pytest.raises(ConfigError, match="num_envs=0: must be at least 1"):
        DistributedPPOConfig(num_envs=0).validate()


@pytest.mark.parametrize("is_distributed_first", [True, False])
def test_a_robot_config_keeps_its_defaults_when_distributed(is_distributed_first):
    @dataclass
    class WalkingConfig(PPOConfig):
        num_envs: int = 2048
        gamma: float = option(0.99, help="Discount of walking.")

    bases = (DistributedPPOConfig, WalkingConfig)

    @dataclass
    class WalkingDistributedConfig(*(bases if is_distributed_first else bases[::-1])):
        my_param: float = 1.0

    config = WalkingDistributedConfig(my_param=2.0)
    assert (config.num_envs, config.gamma, config.seed) == (2048, 0.99, 7)
    assert config == WalkingDistributedConfig(my_param=2.0)


def test_a_settled_option_keeps_the_type_its_own_module_gives(tmp_path, monkeypatch):
    (tmp_path / "other_module.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from pathlib import Path as Folder\n"
        "from ksim.config import Config\n"
        "@dataclass\n"
        "class Top(Config):\n"
        "    place: Folder | None = None\n"
        "@dataclass\n"
        "class Left(Top): pass\n"
        "@dataclass\n"
        "class Right(Top):\n"
        "    place: Folder | None = Folder('a')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import other_module

    @dataclass
    class Bottom(other_module.Left, other_module.Right):
        pass

    Bottom().validate()
    assert Bottom().place == other_module.Folder("a")


def test_a_value_without_a_type_is_refused():
    with pytest.raises(TypeError, match=r"Mine\.num_envs has no type.* Write num_envs: type ="):

        @dataclass
        class Mine(RLConfig):
            num_envs = 8


def test_configs_are_not_frozen():
    config = PPOConfig()
    config.num_envs = 3
    assert config.num_envs == 3


def test_import_is_light():
    heavy = {"jax", "mujoco", "numpy", "omegaconf", "rich"}
    code = f"import ksim.config, sys; print(sorted({heavy!r} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout.strip(), result.stderr) == ("[]", "")
