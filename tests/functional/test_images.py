"""Training by a function where the observation is an image."""

import jax
import numpy as np
import pytest

import ksim
from ksim.functional import PPO, PPOConfig
from ksim.storage.state_leaves import leaf_specs
from tests.functional.test_train import Sum, small_run

CONVOLUTIONS = {"conv_channels": (4, 4), "conv_strides": (2, 1)}


@pytest.mark.parametrize("network", ["mlp", "gru"])
def test_snake_is_trained_by_convolutions(network):
    options = CONVOLUTIONS | {"network": network, "hidden_sizes": (8,)}
    state, metrics = small_run(ksim.Snake(6), num_updates=2, **options)
    params = state.agent_state.params["actor"]
    assert params["convolution_1"]["kernel"].shape == (3, 3, 4, 4)
    assert np.isfinite(np.asarray(metrics.total_loss)).all()
    new = PPO.init(jax.random.key(0), env=ksim.Snake(6), config=PPOConfig(**options))
    assert leaf_specs(new) == leaf_specs(state.agent_state)
    start = PPO.init(jax.random.PRNGKey(0), env=ksim.Snake(6), config=PPOConfig(**options))
    before = start.params["actor"]["convolution_0"]["kernel"]
    assert (np.asarray(params["convolution_0"]["kernel"]) != np.asarray(before)).any()


def test_a_vector_is_no_image():
    with pytest.raises(ValueError, match=r"conv_channels=\[4,4\] needs an image"):
        small_run(Sum(), num_updates=1, **CONVOLUTIONS)
