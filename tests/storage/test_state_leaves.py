from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim.storage.state_leaves import (
    CheckpointMismatchError,
    LeafSpec,
    check_specs_fit,
    leaf_spec,
    named_leaves,
)


class Pair(NamedTuple):
    first: object
    second: object


def test_names_are_paths():
    tree = {"params": Pair(1, (2, 3)), "empty": (), "none": None}
    assert named_leaves(tree) == {"params/first": 1, "params/second/0": 2, "params/second/1": 3}
    assert named_leaves(7) == {"state": 7}


def test_a_repeated_name_is_an_error():
    with pytest.raises(ValueError, match="both called 'a/b'"):
        named_leaves({"a/b": 0, "a": {"b": 1}})


def test_specs_of_arrays_structs_keys_and_numbers():
    keys = jax.random.split(jax.random.key(0), 3)
    struct = jax.eval_shape(lambda: keys)
    assert leaf_spec("x", jnp.zeros((2, 3), jnp.bfloat16)) == LeafSpec((2, 3), "bfloat16")
    assert leaf_spec("x", jax.ShapeDtypeStruct((4,), jnp.bool_)) == LeafSpec((4,), "bool")
    assert leaf_spec("x", keys) == leaf_spec("x", struct) == LeafSpec((3,), "key<fry>")
    assert leaf_spec("x", 1.0) == LeafSpec((), "float64")


@pytest.mark.parametrize("leaf", ["walk", object(), np.array(["a"]), np.datetime64("2020-01-01")])
def test_what_is_no_number_is_refused_by_name(leaf):
    with pytest.raises(TypeError, match="Leaf task/name of the state"):
        leaf_spec("task/name", leaf)


def message_of(expected, found):
    with pytest.raises(CheckpointMismatchError) as caught:
        check_specs_fit(expected, found, "Checkpoint x")
    return str(caught.value)


def test_equal_specs_fit_in_any_order():
    a, b = LeafSpec((2,), "float32"), LeafSpec((), "int32")
    check_specs_fit({"a": a, "b": b}, {"b": b, "a": a}, "Checkpoint x")


def test_names_expected_and_found_of_each_bad_leaf():
    text = message_of(
        {"a": LeafSpec((8, 4), "float32"), "b": LeafSpec((), "int32"), "c": LeafSpec((), "bool")},
        {"a": LeafSpec((8, 5), "float32"), "b": LeafSpec((), "float32"), "d": LeafSpec((), "bool")},
    )
    assert "Checkpoint x does not fit this run; 4 of its leaves differ" in text
    assert "a: expected float32[8, 4], found float32[8, 5]" in text
    assert "b: expected int32[], found float32[]" in text
    assert "c: expected bool[], found no such leaf" in text
    assert "d: expected no such leaf, found bool[]" in text
    assert "the task, its engine, the kind of network or the optimizer differs" in text
    assert "config.yaml" in text


def test_lists_at_most_eight_leaves():
    expected = {f"leaf_{i}": LeafSpec((i, 1), "float32") for i in range(11)}
    found = {name: LeafSpec((*spec.shape, 2), "float32") for name, spec in expected.items()}
    text = message_of(expected, found)
    assert "leaf_7:" in text and "leaf_8:" not in text and "... and 3 more" in text


def test_likely_reasons():
    expected = {"qpos": LeafSpec((8, 4), "float32"), "time": LeafSpec((8,), "float32")}
    other_envs = {"qpos": LeafSpec((16, 4), "float32"), "time": LeafSpec((16,), "float32")}
    assert "is it num_envs, 16 then and 8 now?" not in message_of(expected, {})
    assert "is it num_envs, 16 then and 8 now?" in message_of(expected, other_envs)
    other_size = {"qpos": LeafSpec((8, 5), "float32"), "time": LeafSpec((8,), "float32")}
    assert "The network sizes, num_envs or the precision" in message_of(expected, other_size)
    other_dtype = {"qpos": LeafSpec((8, 4), "bfloat16"), "time": LeafSpec((8,), "float32")}
    assert "The network sizes, num_envs or the precision" in message_of(expected, other_dtype)
    number = {name: LeafSpec((), "float32") for name in expected}
    vector = {name: LeafSpec((3,), "float32") for name in expected}
    assert "The network sizes, num_envs or the precision" in message_of(number, vector)
    assert "The network sizes, num_envs or the precision" in message_of(vector, number)
