import jax
import numpy as np

from ksim.envs.mujoco.term_keys import TermKeys

FAMILIES = {"resets": {"a": None, "b": None}, "events": {}, "commands": {"a": None}}


def test_every_term_has_two_keys_of_its_own():
    keys = TermKeys.split(jax.random.key(0), FAMILIES)
    for given in keys:
        assert {family: list(names) for family, names in given.items()} == {
            "resets": ["a", "b"],
            "events": [],
            "commands": ["a"],
        }
    words = np.stack([jax.random.key_data(key) for key in jax.tree.leaves(keys)])
    assert len(np.unique(words, axis=0)) == 6  # three terms, for init and for the call


def test_keys_depend_on_the_key():
    first, second = (TermKeys.split(jax.random.key(seed), FAMILIES) for seed in (0, 1))
    for one, other in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        assert (jax.random.key_data(one) != jax.random.key_data(other)).any()
