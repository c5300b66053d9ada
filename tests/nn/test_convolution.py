"""Convolutions before another network, by a slow loop and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim import Snake
from ksim.config import ConfigError
from ksim.config.concerns import NetworkConfig, convolution_sizes
from ksim.nn import GRU, MLP, ActorCritic, ConvolutionalTrunk, bind, unroll
from ksim.task.networks import default_model


def slow_convolution(image, kernel, bias, stride):
    """Zeros around `[rows, columns, channels]`; an even rest goes behind and below."""
    size, out = kernel.shape[0], [-(-length // stride) for length in image.shape[:2]]
    pads = [max((o - 1) * stride + size - n, 0) for o, n in zip(out, image.shape, strict=False)]
    image = np.pad(image, [(p // 2, p - p // 2) for p in pads] + [(0, 0)])
    result = np.zeros((*out, kernel.shape[-1]))
    for row in range(out[0]):
        for column in range(out[1]):
            top, left = row * stride, column * stride
            window = image[top : top + size, left : left + size]
            result[row, column] = np.tensordot(window, kernel, axes=3) + bias
    return result


def parameters(network, num_inputs):
    carry = network.initial_carry()
    params = network.init(jax.random.key(0), jnp.zeros(num_inputs), carry)["params"]
    return jax.tree.map(lambda p: p + 0.05, params)  # biases other than 0


def test_a_trunk_is_its_convolutions_and_what_is_behind():
    # Two images of 5 x 4 with 2 and 1 channels, and a vector of 3 between them.
    shapes = ((2, 5, 4), (3,), (1, 5, 4))
    behind = MLP((), 2)
    trunk = ConvolutionalTrunk(behind, shapes, (3, 2), (3, 2), (2, 1), activation="tanh")
    x = np.linspace(-1, 1, 40 + 3 + 20).astype(np.float32)
    params = parameters(trunk, x.size)
    image = np.concatenate([x[:40].reshape(2, 5, 4), x[43:].reshape(1, 5, 4)])
    image = image.transpose(1, 2, 0)
    for i, stride in enumerate((2, 1)):
        layer = params[f"convolution_{i}"]
        image = np.tanh(slow_convolution(image, layer["kernel"], layer["bias"], stride))
    assert image.shape == (3, 2, 2)  # 5 and 4 halved, rounded up
    features = np.concatenate([image.ravel(), x[40:43]])
    expected = features @ params["behind"]["output"]["kernel"] + params["behind"]["output"]["bias"]
    output, carry = trunk.apply({"params": params}, jnp.asarray(x), ())
    np.testing.assert_allclose(output, expected, rtol=1e-4)
    assert carry == ()


def test_a_trunk_before_a_gru_remembers():
    trunk = ConvolutionalTrunk(GRU(4, 1, 2), ((1, 3, 3),), (2,))
    x, start = jnp.ones(9), trunk.initial_carry()
    params = parameters(trunk, 9)
    first, carry = trunk.apply({"params": params}, x, start)
    second, _ = trunk.apply({"params": params}, x, carry)
    assert start[0].shape == (4,) and carry[0].shape == (4,)
    assert not np.allclose(first, second)


@pytest.mark.parametrize("network", ["mlp", "gru"])
def test_the_options_make_a_trunk_before_either_network(network):
    options = {"conv_channels": (4, 4), "conv_strides": (2, 1), "conv_kernels": (3,)}
    config = NetworkConfig(network=network, hidden_sizes=(8,), activation="relu", **options)
    definition = default_model(Snake(6), config)
    model = bind(definition, jax.random.key(0))
    assert model.params["actor"]["convolution_0"]["kernel"].shape == (3, 3, 3, 4)
    assert model.params["critic"]["convolution_1"]["kernel"].shape == (3, 3, 4, 4)
    boards = jax.random.normal(jax.random.key(1), (2, 5, 3, 6, 6))
    carry = jax.tree.map(lambda x: jnp.zeros((5, *x.shape)), definition.initial_carry())
    distributions, values = unroll(model, {"board": boards}, carry, jnp.ones((2, 5), bool))
    assert values.shape == (2, 5) and distributions.logits.shape == (2, 5, 4)


def test_rounded_products_leave_convolutions_exact():
    def model(precision, hidden_sizes):
        config = NetworkConfig(
            conv_channels=(4,), hidden_sizes=hidden_sizes, matmul_precision=precision
        )
        return default_model(Snake(6), config)

    exact, rounded = model("float32", (8,)), model("bfloat16", (8,))
    assert rounded.actor.behind.matmul_precision == "bfloat16"
    board = jax.random.normal(jax.random.key(0), (3 * 6 * 6,))
    params = parameters(exact.actor, board.size)

    def features(network):
        _, state = network.apply(
            {"params": params}, board, (), capture_intermediates=True, mutable=["intermediates"]
        )
        return state["intermediates"]["convolution_0"]["__call__"][0]

    np.testing.assert_array_equal(features(exact.actor), features(rounded.actor))
    outputs = [x.actor.apply({"params": params}, board, ())[0] for x in (exact, rounded)]
    assert (outputs[0] != outputs[1]).any()


def test_one_number_stands_for_all_layers():
    assert convolution_sizes((8, 4), (3,), (2, 1)) == [(8, 3, 2), (4, 3, 1)]
    assert convolution_sizes((), (3,), (1,)) == []


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (((8, 4, 4), (3, 3), (1,)), r"conv_kernels=\[3,3\] with conv_channels=\[8,4,4\]: .*"),
        (((8, 4), (3,), ()), r"conv_strides=\[\] .* Write 2 numbers, or conv_strides=\[2\]\."),
        (((8, 4), (0,), (1,)), r"conv_kernels=\[0\]: numbers of at least 1\."),
    ],
)
def test_numbers_that_do_not_match_the_layers_are_refused(sizes, message):
    with pytest.raises(ConfigError, match=message):
        convolution_sizes(*sizes)


def test_options_that_do_not_match_are_refused():
    with pytest.raises(ConfigError, match=r"conv_strides=\[2,1\] with conv_channels=\[\]"):
        NetworkConfig(conv_strides=(2, 1)).validate()


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (
            {"a": (3,), "b": (4, 4)},
            r"conv_channels=\[8\] needs an image, .* shapes \[\[3\],\[4,4\]\]\. Write"
            r" conv_channels=\[\]",
        ),
        ({"a": (3, 4, 4), "b": (1, 4, 5)}, r"differ in rows or columns: \[\[3,4,4\],\[1,4,5\]\]"),
    ],
)
def test_observations_that_are_no_images_of_one_size_are_refused(shapes, message):
    with pytest.raises(ValueError, match=message):
        ActorCritic.create(shapes, 2, conv_channels=(8,))


def test_an_unknown_observation_is_named():
    with pytest.raises(KeyError, match="no such observation"):
        ActorCritic.create({"board": (1, 4, 4)}, 2, conv_channels=(8,), actor_observations=["bord"])
