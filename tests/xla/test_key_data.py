"""Arrays between the devices and the host, typed keys among them."""

import jax
import jax.numpy as jnp
import numpy as np

from ksim.xla.key_data import is_key, map_key_data, to_host


def test_only_typed_keys_are_keys():
    assert is_key(jax.random.key(0))
    assert is_key(jax.random.split(jax.random.key(0), 3))
    assert is_key(jax.eval_shape(lambda: jax.random.key(0)))
    assert not is_key(jax.random.PRNGKey(0))
    assert not is_key(np.zeros(2, np.uint32))
    assert not is_key(1.0)


def test_function_reaches_through_keys_and_keeps_their_implementation():
    keys = jax.random.split(jax.random.key(3, impl="rbg"), 4)
    reversed_keys = map_key_data(lambda words: words[::-1], keys)
    assert jax.random.key_impl(reversed_keys) == jax.random.key_impl(keys)
    for i in range(4):
        np.testing.assert_array_equal(
            jax.random.key_data(reversed_keys[i]), jax.random.key_data(keys[3 - i])
        )


def test_other_leaves_go_to_the_function_as_they_are():
    assert map_key_data(lambda x: x + 1, 2) == 3


def test_host_copy_outlives_the_device_buffer():
    on_device = jnp.arange(3.0)
    copy = to_host(on_device)
    assert isinstance(copy, np.ndarray)
    on_device.delete()
    np.testing.assert_array_equal(copy, [0, 1, 2])


def test_host_copy_is_writable_and_backs_nothing():
    on_device = jnp.arange(3)
    copy = to_host(on_device)
    copy[0] = 7
    np.testing.assert_array_equal(on_device, [0, 1, 2])
