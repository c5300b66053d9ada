"""How Gloo is set up: its address, and the thread that must not interrupt the others."""

import os
import threading

import pytest
from jax._src import xla_bridge

from ksim.xla.gloo import let_others_finish, prepare_gloo

has_policies = pytest.mark.skipif(
    not hasattr(os, "SCHED_BATCH"), reason="this system has no such scheduling policy"
)


class Gloo:
    """Makes collectives as JAX's does: with a thread of their own, which then waits."""

    def __init__(self):
        self.options = None
        self.end = threading.Event()
        self.thread = threading.Thread(target=self.end.wait, daemon=True)

    def make(self, **options):
        self.options = options
        self.thread.start()
        return self


@pytest.fixture
def gloo(monkeypatch):
    made = Gloo()
    monkeypatch.setattr(
        xla_bridge.xla_client._xla, "make_gloo_tcp_collectives", made.make, raising=False
    )
    yield made
    made.end.set()


@has_policies
def test_its_thread_interrupts_nobody(gloo):
    prepare_gloo("127.0.0.2")
    collectives = xla_bridge.xla_client._xla.make_gloo_tcp_collectives(distributed_client=None)
    assert collectives is gloo
    assert gloo.options == {"hostname": "127.0.0.2", "distributed_client": None}
    assert os.sched_getscheduler(gloo.thread.native_id) == os.SCHED_BATCH
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_jax_without_gloo(monkeypatch):
    monkeypatch.delattr(xla_bridge.xla_client._xla, "make_gloo_tcp_collectives", raising=False)
    prepare_gloo("127.0.0.1")
    assert not hasattr(xla_bridge.xla_client._xla, "make_gloo_tcp_collectives")


@has_policies
def test_a_thread_that_has_ended():
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    let_others_finish(thread.native_id)
