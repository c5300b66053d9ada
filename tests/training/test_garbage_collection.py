"""The garbage collector while a run starts, and afterwards."""

import gc

import pytest

from examples.cartpole import CartPoleConfig, CartPoleTask
from ksim.training.garbage_collection import no_garbage_collection


@pytest.fixture(params=[True, False], ids=["collecting", "not collecting"])
def was_enabled(request):
    before = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if before else gc.disable)()


def test_nothing_is_collected_while_it_lasts(was_enabled):
    with no_garbage_collection():
        assert not gc.isenabled()
        with no_garbage_collection():
            pass
        assert not gc.isenabled()
    assert gc.isenabled() == was_enabled


def test_what_was_set_holds_after_an_error(was_enabled):
    with pytest.raises(ZeroDivisionError), no_garbage_collection():
        _ = 1 / 0
    assert gc.isenabled() == was_enabled


def test_a_task_is_built_without_and_iterates_with_it(monkeypatch):
    seen = {}

    class Watched(CartPoleTask):
        def build(self):
            seen["build"] = gc.isenabled()
            return super().build()

    def log(self, iteration, env_steps, wall_seconds, metrics):
        seen[iteration] = gc.isenabled()

    monkeypatch.setattr("ksim.reporting.loggers.JsonLinesLogger.log", log)
    Watched.launch(
        CartPoleConfig(
            num_envs=4, batch_size=2, rollout_length_frames=4, max_steps=2, num_devices=1
        ),
        [],
    )
    assert seen == {"build": False, 1: True, 2: True}
