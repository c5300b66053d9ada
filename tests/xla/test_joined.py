import jax
import jax.numpy as jnp
import numpy as np

from ksim.xla.joined import Joined

TREE = {
    "a": np.arange(12, dtype=np.float32).reshape(2, 3, 2),
    "b": (np.array([[True, False, True], [False, False, True]]), np.arange(6.0).reshape(2, 3)),
    "c": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "nothing": (),
}


def assert_trees_equal(tree, expected):
    assert jax.tree.structure(tree) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, tree, expected)


def test_one_array_for_each_type():
    joined = Joined.of(TREE, num_axes=2)
    # 2 numbers of "a", 1 of "b", 4 of "c" stand in a row.
    assert {name: array.shape for name, array in joined.arrays.items()} == {
        "float32": (2, 3, 7),
        "bool": (2, 3, 1),
    }


def test_split_is_the_inverse():
    split = Joined.of(TREE, num_axes=2).split()
    assert_trees_equal(split, TREE)
    assert split["b"][0].dtype == jnp.bool_


def test_what_is_done_to_the_arrays_is_done_to_all():
    taken = jax.tree.map(lambda x: x[1, ::2], Joined.of(TREE, num_axes=2))
    assert_trees_equal(taken.split(), jax.tree.map(lambda x: x[1, ::2], TREE))


def test_passes_through_a_compiled_loop():
    def body(carry, _):
        return carry, Joined.of({"x": carry, "y": carry[:, None]}, num_axes=1)

    _, steps = jax.jit(lambda x: jax.lax.scan(body, x, None, length=3))(jnp.arange(2.0))
    expected = np.tile(np.arange(2.0), (3, 1))
    assert_trees_equal(steps.split(), {"x": expected, "y": expected[..., None]})


def test_nothing_to_join():
    assert Joined.of((), num_axes=1).split() == ()
