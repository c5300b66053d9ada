"""Copies with a leading device axis."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ksim


def test_devices_are_counted():
    assert ksim.get_num_devices() == 8
    assert ksim.get_num_devices(4) == 4


@pytest.mark.parametrize("requested", [9, 0])
def test_too_many_devices_are_refused(requested):
    with pytest.raises(ValueError, match=rf"\({requested}\): there are 8 .* a number from 1 to 8"):
        ksim.get_num_devices(requested)


def test_a_device_axis_comes_and_goes():
    tree = {"weight": jnp.arange(12.0).reshape(3, 4), "step": 3, "key": jax.random.key(0)}
    replicated = ksim.replicate(tree, n_devices=4)
    assert replicated["weight"].shape == (4, 3, 4)
    assert replicated["step"].shape == (4,)
    np.testing.assert_array_equal(replicated["weight"][3], tree["weight"])
    single = ksim.unreplicate(replicated)
    np.testing.assert_array_equal(single["weight"], tree["weight"])
    assert single["step"] == 3
    assert single["key"] == tree["key"]


def test_no_device_is_refused():
    with pytest.raises(ValueError, match="n_devices=0"):
        ksim.replicate(jnp.zeros(3), 0)


def test_every_device_gets_its_own_key():
    raw = ksim.split_key_across_devices(jax.random.PRNGKey(0), n_devices=4)
    assert raw.shape == (4, 2)
    assert len(np.unique(raw, axis=0)) == 4
    typed = ksim.split_key_across_devices(jax.random.key(0), 4)
    assert typed.shape == (4,)
    np.testing.assert_array_equal(jax.random.key_data(typed), raw)
