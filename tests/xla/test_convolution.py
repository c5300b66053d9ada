"""The convolution and its gradients, beside JAX's own."""

import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from ksim.xla.convolution import images as convolution
from ksim.xla.convolution.gradients import ORDER, plain_convolution
from ksim.xla.convolution.images import convolve_images

SIZES = [*itertools.product([(3, 3), (2, 2), (4, 2), (1, 1)], [(1, 1), (2, 2), (2, 1)])]


def draw(*shape, seed=0):
    return jax.random.normal(jax.random.key(seed), shape)


def jax_own(images, kernel, strides, padding):
    return lax.conv_general_dilated(images, kernel, strides, padding, dimension_numbers=ORDER)


def test_an_image_and_its_gradients_by_hand():
    # One row of 4 cells, 1 2 3 4, a kernel of 3 and strides of 2; SAME puts one zero behind it.
    # Output: 1*1 + 2*10 + 3*100 = 321 and 3*1 + 4*10 + 0*100 = 43.
    images = jnp.array([1.0, 2, 3, 4]).reshape(1, 1, 4, 1)
    kernel = jnp.array([1.0, 10, 100]).reshape(1, 3, 1, 1)

    def loss(images, kernel):
        output = convolve_images(images, kernel, (1, 2), "SAME")
        return (output.ravel() * jnp.array([1.0, 1000])).sum(), output

    gradients, output = jax.grad(loss, (0, 1), has_aux=True)(images, kernel)
    assert output.ravel().tolist() == [321, 43]
    # Of cells: 1; 10; 100 + 1 * 1000; 10 * 1000. Of the kernel: 1 + 3000, 2 + 4000, 3 + 0.
    assert gradients[0].ravel().tolist() == [1, 10, 1100, 10000]
    assert gradients[1].ravel().tolist() == [3001, 4002, 3]


@pytest.mark.parametrize("padding", ["SAME", "VALID", ((0, 2), (3, 1))])
@pytest.mark.parametrize(("size", "strides"), SIZES)
def test_values_and_gradients_are_those_of_jax(size, strides, padding):
    images, kernel = draw(2, 7, 6, 3), draw(*size, 3, 4, seed=1)

    def loss(convolve):
        return lambda images, kernel: (convolve(images, kernel, strides, padding) ** 2).sum()

    found = jax.value_and_grad(loss(convolve_images), (0, 1))(images, kernel)
    expected = jax.value_and_grad(loss(jax_own), (0, 1))(images, kernel)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0), (4, 1)])
def test_vmap_equals_a_loop_also_in_gradients(axes):
    images, kernel = draw(2, 5, 5, 3), draw(3, 3, 3, 4, seed=1)
    if axes[0] is not None:
        images = jnp.stack([images, 2 * images + 1, images**2], axes[0])
    if axes[1] is not None:
        kernel = jnp.stack([kernel, 2 * kernel + 1, kernel**2], axes[1])

    def run(convolve, images, kernel):
        one = jax.vmap(lambda x, w: convolve(x, w, (2, 2), ((1, 1), (1, 1))), axes)
        return jax.value_and_grad(lambda *x: (one(*x) ** 2).sum(), (0, 1))(images, kernel)

    found, expected = run(convolve_images, images, kernel), run(jax_own, images, kernel)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


def test_one_direction_and_second_derivatives_work():
    images, kernel = draw(1, 4, 4, 2), draw(3, 3, 2, 2, seed=1)

    def loss(convolve):
        return lambda kernel: (convolve(images, kernel, (1, 1), ((1, 1), (1, 1))) ** 3).sum()

    def along_itself(function):
        return jax.jvp(function, (kernel,), (kernel,))[1]

    def second(function):
        return jax.hessian(function)(kernel)

    for derivative in (along_itself, second):
        np.testing.assert_allclose(
            derivative(loss(convolve_images)), derivative(loss(jax_own)), rtol=1e-3, atol=1e-2
        )


def test_gradients_in_a_loop_are_in_the_order_that_is_fast():
    """XLA computes other orders in plain loops; it divides those among threads by itself."""
    images, kernel = draw(8, 6, 6, 4), draw(3, 3, 4, 4, seed=1)

    def update(convolve):
        def step(kernel, _):
            def loss(images, kernel):
                return (convolve(images, kernel, (1, 1), ((1, 1), (1, 1))) ** 2).sum()

            gradients = jax.grad(loss, (0, 1))(images, kernel)
            return kernel - 0.01 * gradients[1], gradients[0].sum()

        return jax.jit(lambda kernel: lax.scan(step, kernel, None, 3))

    def orders(convolve):
        text = update(convolve).lower(kernel).compile().as_text()
        lines = [line for line in text.splitlines() if " convolution(" in line]
        return {line.split("dim_labels=")[1].split(",")[0] for line in lines}

    assert orders(convolve_images) == {"b01f_01io->b01f"}
    assert len(orders(jax_own)) > 1  # or this whole file can go


def test_a_jax_that_has_changed_is_warned_of_and_gives_the_same(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "ksim.xla.convolution.primitive", None)
    convolution._chosen_convolution.cache_clear()
    try:
        images, kernel = draw(2, 5, 5, 3), draw(3, 3, 3, 4, seed=1)
        found = convolve_images(images, kernel, (1, 1), "SAME")
        assert convolution._chosen_convolution() is plain_convolution
    finally:
        convolution._chosen_convolution.cache_clear()
    np.testing.assert_array_equal(found, jax_own(images, kernel, (1, 1), "SAME"))
    assert "convolutions are differentiated by JAX" in caplog.text


@pytest.mark.parametrize(
    "asked", [{"lhs_dilation": (2, 2)}, {"rhs_dilation": (1, 2)}, {"feature_group_count": 2}]
)
def test_what_its_gradients_are_not_written_for_is_refused(asked):
    images, kernel = jnp.ones((1, 6, 6, 2)), jnp.ones((3, 3, 2, 2))
    with pytest.raises(NotImplementedError, match=f"{next(iter(asked))}=.* for 1 alone"):
        convolve_images(images, kernel, (1, 1), "SAME", **asked)
