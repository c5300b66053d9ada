import math

import jax.numpy as jnp
import numpy as np
import pytest

from ksim.nn import Categorical, CategoricalHead, Normal, NormalHead, TanhNormal


def test_learned_std_starts_at_init_std_for_every_state():
    head = NormalHead(3, init_std=0.5)
    distribution = head(head.init(), jnp.arange(6.0).reshape(2, 3))
    assert isinstance(distribution, Normal)
    np.testing.assert_array_equal(distribution.mean, [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_allclose(np.exp(distribution.log_std), np.full((2, 3), 0.5), rtol=1e-6)


def test_std_is_min_std_plus_exponential():
    # 0.1 + e^0 = 1.1;  0.1 + e^-20 is 0.1 to 2e-9
    head = NormalHead(2, init_std=1.0, min_std=0.1)
    distribution = head({"std": jnp.array([0.0, -20.0])}, jnp.zeros(2))
    np.testing.assert_allclose(np.exp(distribution.log_std), [1.1, 0.1], rtol=1e-6)


def test_state_dependent_std_is_the_second_half_of_the_output():
    # 0.1 + (0.5 - 0.1) e^0 = 0.5;  0.1 + 0.4 * e^log(2) = 0.9
    head = NormalHead(2, init_std=0.5, min_std=0.1, is_std_state_dependent=True)
    assert head.num_outputs == 4
    assert head.init() == {}
    distribution = head({}, jnp.array([7.0, 8.0, 0.0, math.log(2)]))
    np.testing.assert_array_equal(distribution.mean, [7, 8])
    np.testing.assert_allclose(np.exp(distribution.log_std), [0.5, 0.9], rtol=1e-6)


def test_squashed():
    head = NormalHead(2, is_squashed=True)
    assert isinstance(head(head.init(), jnp.zeros(2)), TanhNormal)


def test_categorical():
    head = CategoricalHead(3)
    assert (head.num_outputs, head.init()) == (3, {})
    distribution = head({}, jnp.array([1.0, 2.0, 3.0]))
    assert isinstance(distribution, Categorical)
    np.testing.assert_array_equal(distribution.logits, [1, 2, 3])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NormalHead(0), r"NormalHead\(size=0\)"),
        (lambda: NormalHead(1, init_std=0.01, min_std=0.01), "0 < min_std < init_std"),
        (lambda: NormalHead(1, min_std=0.0), "0 < min_std < init_std"),
        (lambda: CategoricalHead(0), r"CategoricalHead\(num_actions=0\)"),
    ],
)
def test_impossible_numbers(make, message):
    with pytest.raises(ValueError, match=message):
        make()
