"""What extensions add to PPO."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ksim.config import ConfigError
from ksim.parallel import Synchronisation
from ksim.rl import PPO, Extension, LearningRateSchedule, MirrorImages, PPOCoefficients, Updates
from ksim.rl.batch import Batch
from ksim.rl.ppo_loss import PPOSamples

PLAIN = PPO(
    optimizer=optax.sgd(0.1),
    synchronisation=Synchronisation("device"),
    coefficients=PPOCoefficients(clip_param=0.2, value_coef=0.5, entropy_coef=0.0),
    learning_rate=LearningRateSchedule(),
    gamma=0.9,
    lam=0.8,
    num_batches=1,
    num_passes=1,
)


def make_batch(carry=()):
    by_time = jnp.arange(6.0).reshape(3, 2)
    samples = PPOSamples(*[by_time] * len(dataclasses.fields(PPOSamples)))
    return Batch(
        observations={"x": by_time[..., None]},
        latent=2 * by_time[..., None],
        samples=samples,
        is_valid=by_time >= 0,
        initial_carry=carry,
        env_id=jnp.arange(2),
    )


def test_mirror_images_stand_beside_what_was_done():
    mirror = MirrorImages(lambda seen: jax.tree.map(jnp.negative, seen), jnp.negative)
    extended = mirror.extend(make_batch())
    np.testing.assert_array_equal(extended.observations["x"][0, :, 0], [0, 1, 0, -1])
    np.testing.assert_array_equal(extended.latent[1, :, 0], [4, 6, -4, -6])
    np.testing.assert_array_equal(extended.samples.log_prob[2], [4, 5, 4, 5])
    assert len(set(extended.env_id.tolist())) == 4  # draws of their own


def test_a_mirror_image_has_no_memory():
    mirror = MirrorImages(lambda seen: seen, jnp.negative)
    with pytest.raises(ValueError, match="network=mlp"):
        mirror.extend(make_batch(carry=jnp.zeros((2, 3))))


@dataclasses.dataclass(frozen=True)
class Bonus(Extension):
    """Pays a number for each step, and counts its updates."""

    amount: float = 2.0

    def init(self, key):
        return jnp.int32(0)

    def reward(self, state, memory, trajectory, normalizer):
        return jnp.full_like(trajectory.reward, self.amount)

    def loss(self, state, model, minibatch, key):
        return jnp.float32(3.0) * model.gain, {"gain": model.gain}

    def update(self, state, memory, trajectory, normalizer, iteration, key):
        return state + 1, memory, {"count": state.astype(jnp.float32)}


def test_names_of_extensions_differ():
    with pytest.raises(ConfigError, match="Two extensions are called Bonus"):
        dataclasses.replace(PLAIN, extensions=(Bonus(), Bonus(amount=1.0)))


def on_one_device(function, *arguments):
    """Calls a per-device function with the axis over one device bound."""
    mapped = jax.vmap(function, axis_name="device")
    stacked = jax.tree.map(lambda x: jnp.asarray(x)[None], arguments)
    return jax.tree.map(lambda x: x[0], mapped(*stacked))


def test_a_network_is_updated_at_its_own_cadence():
    updates = Updates(optax.sgd(1.0), Synchronisation("device"), every=2)

    def run(parameters):
        progress = updates.begin(updates.init(parameters))
        steps = updates.steps(4)
        seen = []
        for index in range(4):
            step = jax.tree.map(lambda x, index=index: x[index], steps)
            outcome = updates.take(progress, lambda p: (jnp.sum(p), {"loss": jnp.sum(p)}), step)
            progress = outcome.progress
            seen.append(progress.network.parameters)
        return jnp.stack(seen)

    # The gradient of a sum is 1: a step of -1 in every second update.
    found = on_one_device(run, jnp.float32([5.0]))
    assert found[:, 0].tolist() == [5, 4, 4, 3]


def test_a_network_that_is_never_due_is_refused():
    with pytest.raises(ConfigError, match="every=3"):
        Updates(optax.sgd(1.0), Synchronisation("device"), every=5).steps(3)
    with pytest.raises(ConfigError, match="write 1 or more"):
        Updates(optax.sgd(1.0), Synchronisation("device"), every=0)
