"""Optimizers of parameters that lie in shards."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

import ksim
from ksim.config import ConfigError
from ksim.parallel import ParameterShards
from ksim.rl.optimizers import check_optimizer_takes_shards, optimizer_state_specs

PARAMETERS = {
    "actor": {"kernel": jnp.ones((4, 6)), "bias": jnp.ones(6)},
    "kernel": jnp.ones((4, 6)),
    "log_std": jnp.ones(()),
}
SPECS = {"actor": {"kernel": P(None, "fsdp"), "bias": P()}, "kernel": P(), "log_std": P()}
SHARDS = ParameterShards(axis_name="fsdp", size=2, shapes=PARAMETERS, specs=SPECS)


@pytest.mark.parametrize("max_norm", [0.1, 100.0])
def test_clipping_is_that_of_optax(max_norm):
    gradients = jax.tree.map(lambda leaf: 0.3 * leaf, PARAMETERS)
    ours, theirs = (module.clip_by_global_norm(max_norm) for module in (ksim, optax))
    found, state = ours.update(gradients, ours.init(PARAMETERS))
    expected, their_state = theirs.update(gradients, theirs.init(PARAMETERS))
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert state == their_state  # so that checkpoints fit


def test_clipping_takes_the_norm_that_it_is_given():
    chain = optax.chain(ksim.clip_by_global_norm(1.0), optax.sgd(1.0))
    gradients = {"x": jnp.array([3.0, 4.0])}
    # Elsewhere lie shards of norm 12: the norm of all is 13.
    state = chain.init(gradients)
    steps, _ = chain.update(gradients, state, global_norm=lambda tree: jnp.float32(13))
    np.testing.assert_allclose(steps["x"], [-3 / 13, -4 / 13], rtol=1e-6)


def test_state_lies_where_its_parameter_does():
    state = jax.eval_shape(optax.adam(1e-3).init, PARAMETERS)
    specs = optimizer_state_specs(state, PARAMETERS, SPECS)
    assert specs[0].mu == SPECS
    assert specs[0].nu == SPECS
    assert specs[0].count == P()


def test_a_longer_path_is_not_mistaken_for_a_shorter_one():
    """`tail.kernel` ends in `kernel` too, and has its shape."""
    parameters = {"kernel": jnp.ones((4, 6)), "tail": {"kernel": jnp.ones((4, 6))}}
    specs = {"kernel": P("fsdp", None), "tail": {"kernel": P()}}
    state = optax.sgd(1e-3, momentum=0.9).init(parameters)
    assert optimizer_state_specs(state, parameters, specs)[0].trace == specs


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.adam(1e-3),
        optax.adamw(1e-3, weight_decay=0.1),
        optax.sgd(1e-3, momentum=0.9, nesterov=True),
        optax.rmsprop(1e-3),
        optax.chain(ksim.clip_by_global_norm(0.5), optax.adam(1e-3)),
        optax.chain(optax.clip(0.5), optax.lion(1e-3)),
        optax.masked(ksim.clip_by_global_norm(0.5), {"actor": True, "kernel": False,
                                                     "log_std": True}),
        optax.inject_hyperparams(optax.adam)(learning_rate=1e-3),
        optax.partition({"fast": optax.adam(1e-2), "slow": optax.sgd(1e-4)},
                        {"actor": "fast", "kernel": "slow", "log_std": "slow"}),
    ],
)  # fmt: skip
def test_optimizers_that_treat_every_number_by_itself_are_taken(optimizer):
    check_optimizer_takes_shards(optimizer, SHARDS)


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.chain(optax.clip_by_global_norm(0.5), optax.adam(1e-3)),
        optax.chain(optax.clip_by_block_rms(0.5), optax.adam(1e-3)),
        optax.masked(optax.clip_by_global_norm(0.5), {"actor": True, "kernel": False,
                                                      "log_std": True}),
        optax.lamb(1e-3),
        optax.lars(1e-3),
        optax.adafactor(1e-3, min_dim_size_to_factor=2),
        optax.contrib.muon(1e-3),
        optax.chain(optax.add_noise(0.1, 0.5, key=0), optax.adam(1e-3)),
    ],
)  # fmt: skip
def test_optimizers_that_look_at_a_whole_parameter_are_refused(optimizer):
    with pytest.raises(ConfigError, match=r"fsdp_devices=2 .*Write ksim\.clip_by_global_norm"):
        check_optimizer_takes_shards(optimizer, SHARDS)


def test_state_that_depends_on_the_size_is_refused():
    """Adafactor factors large parameters only; the small ones of the check it would leave."""
    shapes = {"kernel": jax.ShapeDtypeStruct((256, 256), jnp.float32)}
    shards = ParameterShards("fsdp", 2, shapes, {"kernel": P("fsdp", None)})
    with pytest.raises(ConfigError, match="its state is made differently"):
        check_optimizer_takes_shards(optax.adafactor(1e-3), shards)


def test_without_large_parameters_any_optimizer_will_do():
    specs = jax.tree.map(lambda _: P(), PARAMETERS)
    check_optimizer_takes_shards(optax.lamb(1e-3), ParameterShards("fsdp", 2, PARAMETERS, specs))
