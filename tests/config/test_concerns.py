"""Rules between the options of one concern."""

import pytest

from ksim.config import ConfigError
from ksim.config.concerns import NetworkConfig
from ksim.config.concerns.network import ACTIVATIONS
from ksim.nn.network import _ACTIVATIONS


def test_every_activation_can_be_chosen():
    assert tuple(sorted(_ACTIVATIONS)) == ACTIVATIONS
    for name in ACTIVATIONS:
        NetworkConfig(activation=name).validate()


def test_an_activation_that_does_not_exist():
    with pytest.raises(ConfigError, match=r"activation=relo: must be one of .*Did you mean "):
        NetworkConfig(activation="relo").validate()


@pytest.mark.parametrize("hidden_sizes", [(), (4, 5)])
def test_layers_that_a_gru_cannot_have(hidden_sizes):
    message = r"network=gru hidden_sizes=.*Write hidden_sizes=\[256,256\]"
    with pytest.raises(ConfigError, match=message):
        NetworkConfig(network="gru", hidden_sizes=hidden_sizes).validate()
    NetworkConfig(hidden_sizes=hidden_sizes).validate()  # an mlp can


@pytest.mark.parametrize("hidden_sizes", [(8,), (8, 8)])
def test_layers_that_a_gru_can_have(hidden_sizes):
    NetworkConfig(network="gru", hidden_sizes=hidden_sizes).validate()
