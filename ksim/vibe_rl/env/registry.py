"""Environments by name."""

from collections.abc import Callable

from ksim.config import unknown_name_message
from ksim.envs.cartpole import CartPole
from ksim.envs.environment import Environment
from ksim.envs.snake import Snake
from ksim.functional.interface import EnvParams

_ENVIRONMENTS: dict[str, Callable[[], Environment]] = {
    "CartPole-v1": CartPole,
    "Snake-v0": Snake,
}


def make(name: str) -> tuple[Environment, EnvParams]:
    """Returns an environment that comes with ksim, and its parameters.

    Args:
      name: the name, as `CartPole-v1`. Environments of your own need no name: pass the object.

    Raises:
      ValueError: if there is no such environment; the message lists those that exist.
    """
    if name not in _ENVIRONMENTS:
        message = unknown_name_message(name, _ENVIRONMENTS, kind="environment", place="in ksim")
        raise ValueError(f'make("{name}"): {message}')
    return _ENVIRONMENTS[name](), EnvParams(name)
