"""Environments by name."""

import pytest

from ksim import CartPole
from ksim.vibe_rl.env import EnvParams, make


def test_make_returns_the_environment_and_its_parameters():
    environment, env_params = make("CartPole-v1")
    assert isinstance(environment, CartPole)
    assert env_params == EnvParams("CartPole-v1")


@pytest.mark.parametrize("name", ["cartpole-v1", "CartPole", "CartPole-v0"])
def test_a_wrong_name_is_answered_with_the_nearest(name):
    with pytest.raises(ValueError) as error:
        make(name)
    assert str(error.value) == (
        f'make("{name}"): no such environment in ksim. Environments: CartPole-v1.'
        ' Did you mean "CartPole-v1"?'
    )


def test_a_strange_name_is_answered_with_what_there_is():
    with pytest.raises(ValueError, match=r"Environments: CartPole-v1\.$"):
        make("Breakout")
