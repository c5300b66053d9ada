"""When and how devices agree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from ksim.config import ConfigError
from ksim.parallel import Synchronisation


@pytest.mark.parametrize(
    ("period", "num_updates", "synchronising"),
    [
        (1, 4, [1, 2, 3, 4]),
        (3, 8, [3, 6, 8]),  # 8 is no multiple of 3, but it is the last one
        (4, 8, [4, 8]),
        (4, 1, [1]),
        (9, 8, [8]),
    ],
)
def test_every_nth_update_synchronises_and_the_last(period, num_updates, synchronising):
    schedule = Synchronisation("device", period).schedule(num_updates)
    assert schedule.shape == (num_updates,)
    assert (np.flatnonzero(schedule) + 1).tolist() == synchronising


@pytest.mark.parametrize("period", [0, -4])
def test_period_must_be_positive(period):
    with pytest.raises(ConfigError, match=rf"grad_sync_period must be at least 1 .*found {period}"):
        Synchronisation("device", period)


def test_only_period_1_is_every_update():
    assert Synchronisation("device", 1).is_every_update
    assert not Synchronisation("device", 2).is_every_update


def test_gradients_are_averaged():
    gradients = {"w": jnp.array([[1.0, 5.0], [3.0, 7.0]]), "b": jnp.array([-1.0, 1.0])}
    averaged = jax.pmap(Synchronisation("device").gradients, axis_name="device")(gradients)
    # (1 + 3) / 2 = 2, (5 + 7) / 2 = 6, (-1 + 1) / 2 = 0, the same on both devices.
    np.testing.assert_array_equal(averaged["w"], [[2, 6], [2, 6]])
    np.testing.assert_array_equal(averaged["b"], [0, 0])


def test_averaging_can_be_replaced():
    synchronisation = Synchronisation(
        "device", average_gradients=lambda gradients: lax.pmax(gradients, "device")
    )
    largest = jax.pmap(synchronisation.gradients, axis_name="device")(jnp.array([1.0, 4.0, 2.0]))
    np.testing.assert_array_equal(largest, [4, 4, 4])
