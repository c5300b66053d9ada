"""Rollouts cut into pieces that are dealt to minibatches as environments are."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ksim.nn import ActorCritic, bind
from ksim.parallel import Synchronisation
from ksim.rl import PPO, Batch, LearningRateSchedule, PPOCoefficients, PPOSamples

NUM_STEPS, NUM_ENVS = 6, 2


def numbered(factor=1.0):
    """`[T, num_envs]` of which each entry says where it stands: 100 * environment + step."""
    return factor * (100.0 * jnp.arange(NUM_ENVS)[None] + jnp.arange(NUM_STEPS)[:, None])


@pytest.fixture
def batch():
    key = jax.random.key(0)
    return Batch(
        observations={"x": jax.random.normal(key, (NUM_STEPS, NUM_ENVS, 3))},
        latent=numbered().astype(jnp.int32) % 2,
        samples=PPOSamples(
            log_prob=jnp.full((NUM_STEPS, NUM_ENVS), -0.7),
            value=numbered(0.01),
            advantage=numbered(),
            value_target=numbered(0.02),
            weight=jnp.ones((NUM_STEPS, NUM_ENVS)),
        ),
        is_valid=jnp.ones((NUM_STEPS, NUM_ENVS), bool),
        initial_carry=(),
        env_id=jnp.array([4, 5]),
    )


def test_pieces_stand_side_by_side(batch):
    pieces = batch.in_segments(3)
    # Environment 0 (id 4) has the steps 0 1 | 2 3 | 4 5, environment 1 (id 5) the same + 100.
    np.testing.assert_array_equal(
        pieces.samples.advantage, [[0, 2, 4, 100, 102, 104], [1, 3, 5, 101, 103, 105]]
    )
    np.testing.assert_array_equal(pieces.env_id, [12, 13, 14, 15, 16, 17])  # 3 * id + piece
    assert pieces.is_valid.shape == (2, 6)
    np.testing.assert_array_equal(pieces.observations["x"][1, 4], batch.observations["x"][3, 1])


def test_one_piece_is_the_batch_itself(batch):
    assert batch.in_segments(1) is batch


def test_the_loss_of_all_pieces_is_the_loss_of_the_batch(batch):
    model = bind(ActorCritic.create({"x": (3,)}, 2, distribution="categorical"), jax.random.key(1))
    ppo = PPO(
        optimizer=optax.sgd(0.1),
        synchronisation=Synchronisation("device"),
        coefficients=PPOCoefficients(clip_param=0.2, value_coef=0.5, entropy_coef=0.01),
        learning_rate=LearningRateSchedule(),
        gamma=0.9,
        lam=0.8,
        num_batches=2,
        num_passes=1,
        num_segments=2,
    )
    expected, _ = ppo.loss(model, batch, jax.random.key(2))
    found, _ = ppo.loss(model, batch.in_segments(2), jax.random.key(2))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("num_segments", [4, 6])
def test_pieces_are_of_equal_length_and_of_models_without_memory(batch, num_segments):
    carry = () if num_segments == 4 else {"calls": jnp.zeros(NUM_ENVS)}
    with pytest.raises(ValueError, match=f"6 steps cannot be cut into {num_segments} pieces"):
        dataclasses.replace(batch, initial_carry=carry).in_segments(num_segments)
