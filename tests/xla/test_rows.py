import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim.xla.rows import replace_rows


@pytest.mark.parametrize("rows", [(), (3,), (4, 0, 2), (0, 1, 2, 3, 4)])
@pytest.mark.parametrize("columns", [(), (2,)])
def test_equals_a_scatter(rows, columns):
    values = np.arange(5 * max(1, *columns, 1), dtype=np.float32).reshape(5, *columns)
    replacements = -1 - np.arange(len(rows) * values[0].size, dtype=np.float32)
    replacements = replacements.reshape(len(rows), *columns)
    expected = values.copy()
    expected[list(rows)] = replacements
    np.testing.assert_array_equal(replace_rows(values, rows, replacements), expected)


def test_keeps_the_type():
    replaced = replace_rows(jnp.zeros(3, jnp.int32), (1,), jnp.array([2.0]))
    assert replaced.dtype == jnp.int32
    np.testing.assert_array_equal(replaced, [0, 2, 0])


def test_nothing_is_scattered():
    # XLA makes a loop of a scatter on a CPU, which this function is there to avoid.
    program = jax.vmap(lambda values, new: replace_rows(values, (2, 0), new))
    text = jax.jit(program).lower(jnp.zeros((4, 3)), jnp.ones((4, 2))).as_text()
    assert "scatter" not in text


def test_xla_scatters_row_by_row():
    """If this fails, `values.at[rows].set(...)` may be as good."""
    program = jax.vmap(lambda values, new: values.at[jnp.array([2, 0])].set(new))
    text = jax.jit(program).lower(jnp.zeros((4, 3)), jnp.ones((4, 2))).compile().as_text()
    assert (" while(" if jax.__version_info__ < (0, 10) else "scatter_computation") in text
