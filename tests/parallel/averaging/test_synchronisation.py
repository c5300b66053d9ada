"""When and how devices agree."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from ksim.config import ConfigError
from ksim.parallel import ParameterShards, Synchronisation, average_replicas


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


def agreed(synchronisation, gradients, measured):
    def on_device(gradients, measured):
        gradients, measured, errors = synchronisation.agree(
            gradients, measured, (), jnp.bool_(True)
        )
        assert errors == ()
        return gradients, measured

    mapped = jax.pmap(on_device, axis_name="device")
    return mapped(gradients, measured), mapped.lower(gradients, measured).as_text()


def test_gradients_and_what_was_measured_are_averaged_in_one_message():
    gradients = {"w": jnp.array([[1.0, 5.0], [3.0, 7.0]]), "b": jnp.array([-1.0, 1.0])}
    (averaged, measured), program = agreed(
        Synchronisation("device"), gradients, jnp.array([0.5, 1.5])
    )
    # (1 + 3) / 2 = 2, (5 + 7) / 2 = 6, (-1 + 1) / 2 = 0, the same on both devices.
    np.testing.assert_array_equal(averaged["w"], [[2, 6], [2, 6]])
    np.testing.assert_array_equal(averaged["b"], [0, 0])
    np.testing.assert_array_equal(measured, [1, 1])
    assert program.count('"stablehlo.all_reduce"') == 1


def test_averaging_of_gradients_can_be_replaced():
    synchronisation = Synchronisation(
        "device", average_gradients=lambda gradients: lax.pmax(gradients, "device")
    )
    (largest, measured), _ = agreed(synchronisation, jnp.array([1.0, 4.0, 2.0]), jnp.arange(3.0))
    np.testing.assert_array_equal(largest, [4, 4, 4])
    np.testing.assert_array_equal(measured, [1, 1, 1])


def test_devices_that_share_parameters_average_with_other_groups_only():
    """Gradients over the groups, (0 + 2) / 2 and (1 + 3) / 2; what was measured over all."""
    shards = ParameterShards(axis_name="within", size=2)
    synchronisation = Synchronisation(("group", "within"), shards=shards)

    def on_device(number):
        return synchronisation.agree(number, number, (), jnp.bool_(True))[:2]

    mapped = jax.vmap(jax.vmap(on_device, axis_name="within"), axis_name="group")
    averaged, measured = mapped(jnp.array([[0.0, 1.0], [2.0, 3.0]]))
    np.testing.assert_array_equal(averaged, [[1, 2], [1, 2]])
    np.testing.assert_array_equal(measured, np.full((2, 2), 1.5))


def drift(parameters):
    """The drift of replicas, and the program that finds it."""

    def on_device(parameters):
        mean = average_replicas(parameters, "device")
        return Synchronisation("device", 4).drift(parameters, mean)

    mapped = jax.pmap(on_device, axis_name="device")
    return mapped(parameters), mapped.lower(parameters).as_text()


def test_drift_is_the_largest_distance_to_the_mean():
    found, _ = drift({"w": jnp.array([[1.0, 0.0], [1.5, 1.0], [2.0, 0.5]]), "b": jnp.zeros(3)})
    # Means 1.5 and 0.5: 0.5 away, all three of `b` are 0.
    np.testing.assert_array_equal(found, [0.5] * 3)


@pytest.mark.parametrize("num_devices", [1, 2, 3, 5, 7, 8])
def test_identical_replicas_have_no_drift_although_their_mean_is_rounded(num_devices):
    weights = jax.random.normal(jax.random.key(0), (1000,))
    found, _ = drift({"w": jnp.stack([weights] * num_devices)})
    np.testing.assert_array_equal(found, np.zeros(num_devices))


def test_drift_sends_a_few_words_however_many_the_parameters():
    _, program = drift({"w": jnp.zeros((2, 1000)), "b": jnp.zeros((2, 30, 30))})
    messages = re.findall(r"stablehlo.all_reduce.*?\) : \((.*?)\) -> ", program, re.DOTALL)
    # The average of 1900 parameters; two fingerprints; one distance.
    assert sorted(messages) == ["tensor<1900xf32>", "tensor<2xui32>", "tensor<f32>"]
