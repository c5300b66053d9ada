import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim.nn import GRU, MLP, ActorCritic, Categorical, Normal, NormalHead, TanhNormal, bind

SHAPES = {"velocity": (3,), "height": (), "contact": (2, 2)}


def observe(seed=0):
    keys = jax.random.split(jax.random.key(seed), len(SHAPES))
    return {
        name: jax.random.normal(key, shape)
        for key, (name, shape) in zip(keys, SHAPES.items(), strict=True)
    }


def moved(model):
    """Returns a model whose actor's last layer is not nearly zero."""
    return jax.tree.map(lambda x: x + 0.1, model)


def test_inputs_are_joined_in_the_given_order():
    definition = ActorCritic(
        actor=MLP((), 2),
        critic=MLP((), 1),
        head=NormalHead(2),
        actor_observations=("contact", "height"),
        critic_observations=("velocity", "contact", "height"),
        observation_shapes=tuple(SHAPES.items()),
    )
    model = bind(definition, jax.random.key(0))
    observations = observe()
    output = model(observations, ())
    contact, height = observations["contact"].reshape(4), observations["height"][None]
    actor_kernel = model.params["actor"]["output"]["kernel"]
    critic_kernel = model.params["critic"]["output"]["kernel"]
    actor_input = np.concatenate([contact, height])
    critic_input = np.concatenate([observations["velocity"], contact, height])
    np.testing.assert_allclose(output.distribution.mean, actor_input @ actor_kernel, rtol=1e-5)
    np.testing.assert_allclose(output.value, (critic_input @ critic_kernel)[0], rtol=1e-5)
    assert output.value.shape == ()


def test_actor_does_not_see_what_only_the_critic_does():
    definition = ActorCritic.create(
        SHAPES,
        2,
        hidden_sizes=(8,),
        actor_observations=["velocity"],
        critic_observations=["height"],
    )
    model = moved(bind(definition, jax.random.key(0)))
    before = observe()
    after = before | {"height": before["height"] + 1}
    first, second = model(before, ()), model(after, ())
    np.testing.assert_array_equal(first.distribution.mean, second.distribution.mean)
    assert first.value != second.value


def test_everything_is_seen_whatever_the_order_of_the_shapes():
    reordered = dict(reversed(SHAPES.items()))
    assert ActorCritic.create(SHAPES, 2) == ActorCritic.create(reordered, 2)
    assert ActorCritic.create(SHAPES, 2).actor_observations == ("contact", "height", "velocity")


@pytest.mark.parametrize(
    ("distribution", "kind", "shape"),
    [("normal", Normal, (5,)), ("tanh_normal", TanhNormal, (5,)), ("categorical", Categorical, ())],
)
def test_distributions(distribution, kind, shape):
    definition = ActorCritic.create(SHAPES, 5, distribution=distribution, hidden_sizes=(4,))
    output = bind(definition, jax.random.key(0))(observe(), ())
    assert isinstance(output.distribution, kind)
    assert output.distribution.mode().shape == shape


def test_first_policy_hardly_depends_on_what_it_observes():
    definition = ActorCritic.create(SHAPES, 2, init_std=0.3, is_std_state_dependent=True)
    distribution = bind(definition, jax.random.key(0))(observe(), ()).distribution
    np.testing.assert_allclose(distribution.mean, 0, atol=0.1)
    np.testing.assert_allclose(np.exp(distribution.log_std), 0.3, rtol=0.1)


def test_carry():
    assert ActorCritic.create(SHAPES, 2).initial_carry() == ()
    definition = ActorCritic.create(SHAPES, 2, network="gru", hidden_sizes=(4, 4))
    shapes = jax.tree.map(jnp.shape, definition.initial_carry())
    assert shapes == (((4,), (4,)), ((4,), (4,)))


def test_recurrent_actor_beside_a_feed_forward_critic():
    definition = ActorCritic(
        actor=GRU(4, 1, 2),
        critic=MLP((4,), 1),
        head=NormalHead(2),
        actor_observations=("velocity",),
        critic_observations=("height",),
        observation_shapes=tuple(SHAPES.items()),
    )
    model = moved(bind(definition, jax.random.key(0)))
    first = model(observe(), model.initial_carry())
    second = model(observe(), first.carry)
    assert jax.tree.structure(first.carry) == jax.tree.structure(model.initial_carry())
    assert np.all(first.distribution.mean != second.distribution.mean)
    assert first.value == second.value


def test_definition_is_hashable_and_equal_by_value():
    first, second = (ActorCritic.create(SHAPES, 2, hidden_sizes=[4]) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    assert first != ActorCritic.create(SHAPES, 2, hidden_sizes=[5])


def test_actor_and_critic_start_differently():
    params = ActorCritic.create(SHAPES, 1, hidden_sizes=(4,)).init(jax.random.key(0))
    actor, critic = (params[name]["hidden_0"]["kernel"] for name in ("actor", "critic"))
    assert not np.allclose(actor, critic)


@pytest.mark.parametrize(
    ("error", "options", "message"),
    [
        (
            KeyError,
            {"actor_observations": ("velocty",)},
            r'actor_observations.*contact, height, velocity.*Did you mean "velocity"\?',
        ),
        (KeyError, {"critic_observations": ("heigth",)}, r'critic.*Did you mean "height"\?'),
        (ValueError, {"critic_observations": ()}, r"critic_observations=\(\)"),
        (ValueError, {"network": "grru"}, r'network="grru".*mlp, gru.*Did you mean "gru"\?'),
        (ValueError, {"distribution": "norml"}, r'normal, tanh_normal.*Did you mean "normal"\?'),
        (ValueError, {"activation": "elo"}, r'Did you mean "elu"\?'),
        (ValueError, {"network": "gru", "hidden_sizes": (4, 5)}, "all of one width"),
        (ValueError, {"hidden_sizes": (0,)}, "at least 1"),
    ],
)
def test_wrong_options(error, options, message):
    with pytest.raises(error, match=message):
        ActorCritic.create(SHAPES, 2, **options)


def test_output_size_must_suit_the_head():
    definition = ActorCritic(
        MLP((), 3), MLP((), 1), NormalHead(2), ("height",), ("height",), (("height", ()),)
    )
    with pytest.raises(ValueError, match="set its output_size to 2"):
        bind(definition, jax.random.key(0))


def test_wrong_observations():
    model = bind(ActorCritic.create(SHAPES, 2, hidden_sizes=(4,)), jax.random.key(0))
    observations = observe()
    with pytest.raises(ValueError, match=r"must have shape \(3,\), found \(7, 3\).*jax.vmap"):
        model(observations | {"velocity": jnp.zeros((7, 3))}, ())
    del observations["contact"]
    with pytest.raises(KeyError, match="no such observation"):
        model(observations, ())
