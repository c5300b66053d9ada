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


def test_large_leaves_stand_alone():
    tree = {"a": np.zeros(2, np.float32), "b": np.ones((2, 2), np.float32), "c": np.zeros(1, bool)}
    joined = Joined.of({**tree, "d": np.arange(3, dtype=np.float32)}, num_axes=0, alone_from=4)
    # "a" and "d" together, "b" has 4 numbers.
    assert {name: array.size for name, array in joined.arrays.items()} == {
        "float32": 5,
        "float32 1": 4,
        "bool": 1,
    }
    assert_trees_equal(joined.split(), {**tree, "d": np.arange(3.0)})


def test_xla_starts_an_operation_for_every_array():
    """If this fails, XLA joins small arrays itself."""

    def scaled(tree):
        return jax.tree.map(lambda x: jnp.tanh(x[::-1]), tree)

    tree = {str(width): np.ones((4, width), np.float32) for width in range(1, 9)}

    def num_operations(function):
        text = jax.jit(function).lower(tree).compile().as_text()
        entry = text[text.index("ENTRY") :]
        return sum(
            f" {name}(" in line for line in entry.splitlines() for name in ("fusion", "call")
        )

    assert num_operations(scaled) >= 8
    assert num_operations(lambda tree: scaled(Joined.of(tree, num_axes=1)).arrays) < 8
