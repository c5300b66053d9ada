import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim.nn import ActorCritic, BoundModel, ModelDefinition, ModelOutput, Normal, bind, unroll

T, NUM_ENVS = 6, 3
SHAPES = {"position": (2,), "height": ()}


@dataclasses.dataclass(frozen=True)
class Counter(ModelDefinition):
    """Counts its calls since the last reset, from `start`; the value is the count."""

    start: float = 10.0

    def init(self, key):
        return {"scale": jax.random.uniform(key, (1,))}

    def apply(self, params, observations, carry):
        distribution = Normal(params["scale"] * observations["x"], jnp.zeros(1))
        return ModelOutput(distribution, carry["count"], {"count": carry["count"] + 1})

    def initial_carry(self):
        return {"count": jnp.float32(self.start)}


def trajectory():
    keys = jax.random.split(jax.random.key(0), 2)
    observations = {
        "position": jax.random.normal(keys[0], (T, NUM_ENVS, 2)),
        "height": jax.random.normal(keys[1], (T, NUM_ENVS)),
    }
    is_valid = jnp.ones((T, NUM_ENVS), bool).at[1, 0].set(False).at[4, 2].set(False)
    return observations, is_valid.at[5, 1].set(False)


def stacked_initial_carry(model):
    return jax.tree.map(lambda x: jnp.stack([x] * NUM_ENVS), model.initial_carry())


def assert_trees_close(found, expected, rtol=1e-5, atol=1e-6):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def test_bind():
    model = bind(Counter(), jax.random.key(0))
    assert model == BoundModel(model.params, Counter())
    np.testing.assert_array_equal(model.params["scale"], Counter().init(jax.random.key(0))["scale"])
    assert len(jax.tree.leaves(model)) == 1


def test_definition_must_be_hashable():
    @dataclasses.dataclass(frozen=True)
    class Listed(Counter):
        sizes: list = dataclasses.field(default_factory=list)

    with pytest.raises(TypeError, match=r"bind\(Listed\).*tuples in place of lists"):
        bind(Listed(), jax.random.key(0))


def test_carry_starts_again_after_an_invalid_step():
    model = bind(Counter(start=10.0), jax.random.key(0))
    is_valid = jnp.array([[True, True], [False, True], [True, True], [True, False], [True, True]])
    observations = {"x": jnp.ones((5, 2, 1))}
    _, value = unroll(model, observations, {"count": jnp.array([0.0, 7.0])}, is_valid)
    # Step 1 of the first environment and step 3 of the second still see the old memory.
    np.testing.assert_array_equal(value.T, [[0, 1, 10, 11, 12], [7, 8, 9, 10, 10]])


def test_unroll_of_gru_equals_a_loop():
    model = bind(
        ActorCritic.create(SHAPES, 2, network="gru", hidden_sizes=(5, 5)), jax.random.key(1)
    )
    observations, is_valid = trajectory()
    carry = jax.tree.map(
        lambda x: jax.random.normal(jax.random.key(2), (NUM_ENVS, *x.shape)), model.initial_carry()
    )
    distribution, value = jax.jit(unroll)(model, observations, carry, is_valid)
    assert value.shape == (T, NUM_ENVS)
    assert distribution.mean.shape == distribution.log_std.shape == (T, NUM_ENVS, 2)
    call = jax.jit(lambda observations, carry: model(observations, carry))
    for env in range(NUM_ENVS):
        memory = jax.tree.map(lambda x, i=env: x[i], carry)
        for t in range(T):
            output = call({name: x[t, env] for name, x in observations.items()}, memory)
            np.testing.assert_allclose(value[t, env], output.value, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(
                distribution.mean[t, env], output.distribution.mean, rtol=1e-4, atol=1e-6
            )
            memory = output.carry if is_valid[t, env] else model.initial_carry()


def test_unroll_of_mlp_equals_vmap_without_a_scan():
    model = bind(ActorCritic.create(SHAPES, 2, hidden_sizes=(8,)), jax.random.key(1))
    observations, is_valid = trajectory()
    found = unroll(model, observations, stacked_initial_carry(model), is_valid)
    output = jax.vmap(jax.vmap(lambda x: model(x, ())))(observations)
    assert_trees_close(found, (output.distribution, output.value))
    assert "scan" not in str(jax.make_jaxpr(unroll)(model, observations, (), is_valid))


@pytest.mark.parametrize("network", ["mlp", "gru"])
def test_unroll_jit_equals_eager_and_is_not_compiled_again(network):
    traces = []

    @jax.jit
    def run(model, observations, carry, is_valid):
        traces.append(1)
        return unroll(model, observations, carry, is_valid)

    observations, is_valid = trajectory()
    for seed in range(2):
        # A definition made anew equals the old one.
        definition = ActorCritic.create(SHAPES, 2, network=network, hidden_sizes=(4,))
        model = bind(definition, jax.random.key(seed))
        inputs = (model, observations, stacked_initial_carry(model), is_valid)
        assert_trees_close(run(*inputs), unroll(*inputs))
    assert len(traces) == 1


@pytest.mark.parametrize("network", ["mlp", "gru"])
def test_gradients_reach_every_parameter(network):
    definition = ActorCritic.create(SHAPES, 2, network=network, hidden_sizes=(4, 4))
    model = bind(definition, jax.random.key(0))
    # Away from the zero biases and the small last layer, where gradients could hide.
    model = jax.tree.map(lambda x: x + 0.1, model)
    observations, is_valid = trajectory()

    def loss(model):
        distribution, value = unroll(model, observations, stacked_initial_carry(model), is_valid)
        return (distribution.log_prob(jnp.ones((T, NUM_ENVS, 2))) + value**2).mean()

    gradient = jax.jit(jax.grad(loss))(model)
    assert isinstance(gradient, BoundModel)
    for path, leaf in jax.tree.leaves_with_path(gradient):
        assert np.all(np.isfinite(leaf)), path
        assert np.any(leaf != 0), path
