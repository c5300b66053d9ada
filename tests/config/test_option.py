"""Options and what is gathered of them over a hierarchy of classes."""

from dataclasses import dataclass, field

import pytest

from ksim.config import Config, ConfigError, option, options_of
from ksim.config.concerns.network import NetworkConfig
from ksim.nn.action_head import NormalHead


@dataclass
class Run(Config):
    """The run.

    More about it.
    """

    num_envs: int = option(64, help="Environments.", unit="environments", minimum=1)
    run_mode: str = option("train", help="What to do.", choices=("train", "view"))


@dataclass
class Learning(Run):
    gamma: float = option(0.97, help="Discount.", above=0, maximum=1)
    num_envs: int = 128


def test_an_option_carries_its_declaration():
    known = options_of(Run)["num_envs"]
    assert (known.name, known.annotation, known.default) == ("num_envs", int, 64)
    assert (known.help, known.unit, known.minimum) == ("Environments.", "environments", 1)
    assert options_of(Run)["run_mode"].choices == ("train", "view")


def test_groups_are_titled_by_docstring_or_class_name_and_bases_come_first():
    groups = {name: known.group for name, known in options_of(Learning).items()}
    assert list(groups.items()) == [
        ("num_envs", "The run"),
        ("run_mode", "The run"),
        ("gamma", "Learning"),
    ]


def test_a_bare_new_default_keeps_help_and_bounds():
    known = options_of(Learning)["num_envs"]
    assert (known.default, known.help, known.minimum) == (128, "Environments.", 1)


def test_a_new_declaration_keeps_what_it_does_not_mention():
    @dataclass
    class Small(Run):
        num_envs: int = option(2, help="A few.", maximum=8)

    known = options_of(Small)["num_envs"]
    assert (known.help, known.minimum, known.maximum) == ("A few.", 1, 8)


def test_bare_fields_and_foreign_metadata_are_options_without_help():
    @dataclass
    class Mine(Run):
        my_param: float = 1.0
        other: int = field(default=2, metadata={"source": "elsewhere"})

    assert options_of(Mine)["my_param"].help == ""
    assert options_of(Mine)["my_param"].group == "Mine"
    assert options_of(Mine)["other"].default == 2


def test_mutable_defaults_are_not_shared():
    @dataclass
    class Lists(Config):
        names: list[str] = option(["a"], help="Names.")

    first, second = Lists(), Lists()
    first.names.append("b")
    assert second.names == ["a"]
    assert options_of(Lists)["names"].default == ["a"]


def test_a_subclass_that_forgets_the_decorator_is_refused():
    class Forgotten(Run):
        my_param: float = 1.0

    @dataclass
    class Child(Forgotten):
        other: float = 1.0

    for config_class in (Forgotten, Child):
        with pytest.raises(TypeError, match=r"Write @dataclass above class Forgotten"):
            options_of(config_class)


def test_rules_in_words():
    assert options_of(Learning)["gamma"].rules() == ["above 0", "at most 1"]
    assert options_of(Learning)["run_mode"].rules() == ["one of train, view"]
    assert options_of(Learning)["num_envs"].rules() == ["at least 1"]


def test_a_deviation_of_actions_below_the_least_one_is_refused():
    """At the start of the program, not where the network is built."""
    least = NormalHead(1).min_std
    with pytest.raises(ConfigError, match=r"init_std=0.01: must be above 0.01\. Write"):
        NetworkConfig(init_std=least).validate()
    NetworkConfig(init_std=1.1 * least).validate()
