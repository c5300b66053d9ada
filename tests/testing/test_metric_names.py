"""An environment's metrics do not take the names of those that every run logs."""

import jax.numpy as jnp
import pytest

from ksim import CartPole
from ksim.testing import check_environment
from ksim.training.metrics import OWN_GROUPS, OWN_METRICS
from tests.small_cartpole import read_metrics, small_task


class Named(CartPole):
    """Logs 1 by a name."""

    def __init__(self, name):
        super().__init__()
        self.name = name

    def step(self, state, action, key):
        state, timestep = super().step(state, action, key)
        return state, timestep.replace(metrics={self.name: jnp.float32(1)})


@pytest.mark.parametrize(
    "name", ["reward/total", "iteration", "episode/return", "eval/height", "extension/x"]
)
def test_a_name_of_every_run_is_refused(name):
    with pytest.raises(ValueError, match=rf'"metrics have names of their own".*write "my_{name}"'):
        check_environment(Named(name))


@pytest.mark.parametrize("name", ["reward/height", "height", "my_iteration", "episodes"])
def test_other_names_are_free(name):
    check_environment(Named(name), num_steps=2)


def test_all_that_a_run_logs_is_known(tmp_path):
    small_task(num_devices=2, max_steps=2, run_dir=f"{tmp_path}/run").run()
    names = {name for line in read_metrics(tmp_path / "run") for name in line}
    assert {name for name in names if not name.startswith(OWN_GROUPS)} == set(OWN_METRICS)
