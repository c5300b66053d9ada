import itertools
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.interpreters import ad

from ksim.xla import bfloat16_product
from ksim.xla.bfloat16_plain import plain_product
from ksim.xla.bfloat16_product import rounded_dot_general

MATRICES = (((1,), (0,)), ((), ()))


def rounded(x):
    return x.astype(jnp.bfloat16).astype(jnp.float32)


def draw(*shape, seed=0):
    return jax.random.normal(jax.random.key(seed), shape)


def reference(lhs, rhs, dimension_numbers):
    """The product in float32, of rounded operands, with the rounding unseen by derivatives."""

    def straight_through(x):
        return x + lax.stop_gradient(rounded(x) - x)

    return lax.dot_general(
        straight_through(lhs), straight_through(rhs), dimension_numbers, precision="highest"
    )


def test_product_of_matrices_by_hand():
    # 1 + 2^-9 has no place in the 8 bits of a bfloat16, and 257 neither.
    lhs = jnp.array([[1 + 2**-9, 257.0]])
    rhs = jnp.array([[3.0], [1.0]])
    product = rounded_dot_general(lhs, rhs, MATRICES)
    np.testing.assert_array_equal(product, [[1 * 3 + 256 * 1]])
    assert product.dtype == jnp.float32


def test_sums_are_not_rounded():
    lhs, rhs = jnp.ones((1, 1001)), jnp.ones((1001, 1))
    assert rounded_dot_general(lhs, rhs, MATRICES)[0, 0] == 1001  # 1000 in bfloat16


def test_gradients_by_hand():
    lhs, rhs, weight = draw(5, 3), draw(3, 4, seed=1), draw(5, 4, seed=2)
    lhs_gradient, rhs_gradient = jax.grad(
        lambda lhs, rhs: (weight * rounded_dot_general(lhs, rhs, MATRICES)).sum(), (0, 1)
    )(lhs, rhs)
    np.testing.assert_allclose(lhs_gradient, rounded(weight) @ rounded(rhs).T, rtol=1e-5)
    np.testing.assert_allclose(rhs_gradient, rounded(lhs).T @ rounded(weight), rtol=1e-5)


@pytest.mark.parametrize(
    "lhs_shape, rhs_shape, contracted",
    [
        ((5, 3), (3, 4), ((1,), (0,))),
        ((3,), (3, 4), ((0,), (0,))),
        ((5, 3), (4, 3), ((1,), (1,))),
        ((2, 3, 5), (5, 7, 2), ((2, 0), (0, 2))),
        ((2, 3, 5), (5, 7, 2), ((0, 2), (2, 0))),
        ((2, 3), (4, 5), ((), ())),
        ((2, 3), (3, 2), ((0, 1), (1, 0))),
    ],
)
def test_value_and_gradients_for_any_axes(lhs_shape, rhs_shape, contracted):
    numbers = (contracted, ((), ()))
    lhs, rhs = draw(*lhs_shape), draw(*rhs_shape, seed=1)
    product = rounded_dot_general(lhs, rhs, numbers)
    # A gradient of 1s and 2s is the same after rounding.
    weight = jnp.round(1.5 + draw(*product.shape, seed=2).clip(-0.4, 0.4))

    def loss(multiply):
        return lambda lhs, rhs: (weight * multiply(lhs, rhs, numbers)).sum()

    np.testing.assert_allclose(product, reference(lhs, rhs, numbers), rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(
        jax.grad(loss(rounded_dot_general), (0, 1))(lhs, rhs),
        jax.grad(loss(reference), (0, 1))(lhs, rhs),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_tangents():
    lhs, rhs = draw(5, 3), draw(3, 4, seed=1)
    for change in itertools.product((0.0, 1.0), repeat=2):
        tangents = (change[0] * jnp.ones_like(lhs), change[1] * jnp.ones_like(rhs))
        _, tangent = jax.jvp(
            lambda lhs, rhs: rounded_dot_general(lhs, rhs, MATRICES), (lhs, rhs), tangents
        )
        expected = tangents[0] @ rounded(rhs) + rounded(lhs) @ tangents[1]
        np.testing.assert_allclose(tangent, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("lhs_axis, rhs_axis", [(0, None), (1, None), (None, 0), (None, 2), (2, 1)])
def test_vmap_is_a_loop(lhs_axis, rhs_axis):
    lhs = draw(5, 3) if lhs_axis is None else jnp.moveaxis(draw(6, 5, 3), 0, lhs_axis)
    rhs = draw(3, 4) if rhs_axis is None else jnp.moveaxis(draw(6, 3, 4), 0, rhs_axis)
    product = jax.vmap(
        lambda lhs, rhs: rounded_dot_general(lhs, rhs, MATRICES), in_axes=(lhs_axis, rhs_axis)
    )(lhs, rhs)
    for i in range(6):
        one_lhs = lhs if lhs_axis is None else jnp.take(lhs, i, lhs_axis)
        one_rhs = rhs if rhs_axis is None else jnp.take(rhs, i, rhs_axis)
        expected = rounded(one_lhs) @ rounded(one_rhs)
        np.testing.assert_allclose(product[i], expected, rtol=1e-5, atol=1e-6)


def batch_loss(weights, x):
    def one(x):
        hidden = rounded_dot_general(x, weights[0], (((0,), (0,)), ((), ())))
        return rounded_dot_general(jnp.tanh(hidden), weights[1], (((0,), (0,)), ((), ())))

    return (jax.vmap(jax.vmap(one))(x) ** 2).mean()


def test_gradient_of_a_vmapped_batch_is_that_of_matrices():
    weights, x = (draw(8, 16), draw(16, 2, seed=1)), draw(10, 6, 8, seed=2)

    def loss_of_matrices(weights):
        hidden = rounded_dot_general(x.reshape(60, 8), weights[0], MATRICES)
        return (rounded_dot_general(jnp.tanh(hidden), weights[1], MATRICES) ** 2).mean()

    expected = jax.grad(loss_of_matrices)(weights)
    for ours, theirs in zip(jax.grad(batch_loss)(weights, x), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_every_product_of_a_gradient_is_one_of_bfloat16():
    weights, x = (draw(8, 16), draw(16, 2, seed=1)), draw(10, 6, 8, seed=2)
    text = jax.jit(jax.grad(batch_loss)).lower(weights, x).as_text()
    products = products_of(text)
    assert len(products) == 5  # 2 forward; 2 for weights and 1 for what is hidden, backward
    for line in products:
        assert line.count("xbf16>") == 2 and "xf32>" in line.split("->")[-1]
    assert "10x6x8x16" not in text  # no outer product for every sample


def products_of(text):
    return [line for line in text.splitlines() if "stablehlo.dot_general" in line]


def test_casts_alone_do_not_reach_matrix_units():
    """If this fails, a cast does what the primitive is for."""

    def product_of_casts(lhs, rhs):
        halves = lhs.astype(jnp.bfloat16), rhs.astype(jnp.bfloat16)
        return lax.dot_general(*halves, MATRICES, preferred_element_type=jnp.float32).sum()

    text = jax.jit(jax.grad(product_of_casts)).lower(draw(5, 3), draw(3, 4)).as_text()
    assert any("xf32>, tensor" in line.split(":")[-1] for line in products_of(text))


@pytest.fixture
def without_primitives(monkeypatch):
    """A JAX whose table of derivatives has moved."""
    monkeypatch.delattr(ad, "primitive_transposes")
    monkeypatch.delitem(sys.modules, "ksim.xla.bfloat16_primitive", raising=False)
    monkeypatch.delattr("ksim.xla.bfloat16_primitive", raising=False)
    bfloat16_product._chosen_product.cache_clear()
    yield
    bfloat16_product._chosen_product.cache_clear()


@pytest.mark.usefixtures("without_primitives")
def test_without_the_door_the_gradients_are_the_same(plain_ways):
    weights, x = (draw(8, 16), draw(16, 2, seed=1)), draw(10, 6, 8, seed=2)
    assert bfloat16_product._chosen_product() is plain_product
    ours = jax.value_and_grad(batch_loss)(weights, x)
    (message,) = plain_ways.messages
    assert "primitive_transposes" in message and "slower" in message
    bfloat16_product._chosen_product.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ad, "primitive_transposes", TRANSPOSES, raising=False)
        expected = jax.value_and_grad(batch_loss)(weights, x)
    for own, other in zip(*map(jax.tree.leaves, (ours, expected)), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-7)


TRANSPOSES = ad.primitive_transposes


@pytest.mark.parametrize(
    "lhs_shape, rhs_shape, contracted",
    [((5, 3), (3, 4), ((1,), (0,))), ((2, 3, 5), (5, 7, 2), ((0, 2), (2, 0)))],
)
def test_plain_product_for_any_axes(lhs_shape, rhs_shape, contracted):
    lhs, rhs = draw(*lhs_shape), draw(*rhs_shape, seed=1)

    def loss(multiply):
        return lambda lhs, rhs: (multiply(lhs, rhs) ** 2).sum()

    by_function = jax.value_and_grad(
        loss(lambda lhs, rhs: plain_product(lhs, rhs, *contracted)), (0, 1)
    )(lhs, rhs)
    by_primitive = jax.value_and_grad(
        loss(lambda lhs, rhs: rounded_dot_general(lhs, rhs, (contracted, ((), ())))), (0, 1)
    )(lhs, rhs)
    for ours, theirs in zip(*map(jax.tree.leaves, (by_function, by_primitive)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_gradient_of_what_is_not_used():
    gradient = jax.grad(lambda x: (0 * rounded_dot_general(x, x.T, MATRICES)).sum() + x.sum())
    np.testing.assert_array_equal(gradient(draw(3, 3)), jnp.ones((3, 3)))


def test_layer_of_flax():
    layer = nn.Dense(4, dot_general=rounded_dot_general)
    x = draw(7, 3)
    params = layer.init(jax.random.key(1), x)
    kernel = params["params"]["kernel"]
    np.testing.assert_allclose(layer.apply(params, x), rounded(x) @ rounded(kernel), rtol=1e-5)
    assert kernel.dtype == jnp.float32


def test_batch_axes_are_refused():
    with pytest.raises(ValueError, match=r"jax\.vmap"):
        rounded_dot_general(draw(2, 3), draw(2, 3), (((1,), (1,)), ((0,), (0,))))
