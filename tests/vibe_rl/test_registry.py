"""Environments by name."""

import pytest

from ksim import CartPole, Snake
from ksim.vibe_rl.env import EnvParams, make


def test_make_returns_the_environment_and_its_parameters():
    environment, env_params = make("CartPole-v1")
    assert isinstance(environment, CartPole)
    assert env_params == EnvParams("CartPole-v1")


def test_snake_is_the_game_with_its_usual_options():
    environment, env_params = make("Snake-v0")
    assert isinstance(environment, Snake)
    assert environment.observation_shapes() == {"board": (3, 12, 12)}
    assert env_params == EnvParams("Snake-v0")


@pytest.mark.parametrize("name", ["cartpole-v1", "CartPole", "CartPole-v0"])
def test_a_wrong_name_is_answered_with_the_nearest(name):
    with pytest.raises(ValueError) as error:
        make(name)
    assert str(error.value) == (
        f'make("{name}"): no such environment in ksim. Environments: CartPole-v1, Snake-v0.'
        ' Did you mean "CartPole-v1"?'
    )


def test_a_strange_name_is_answered_with_what_there_is():
    with pytest.raises(ValueError, match=r"Environments: CartPole-v1, Snake-v0\.$"):
        make("Breakout")
