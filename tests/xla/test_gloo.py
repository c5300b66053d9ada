"""Gloo's address, and the thread that must not interrupt the others."""

import os
import threading

import pytest
from jaxlib import _jax

from ksim.xla.gloo import let_others_finish, prepare_gloo
from tests.xla.subprocesses import run_python

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
    monkeypatch.setattr(_jax, "make_gloo_tcp_collectives", made.make)
    yield made
    made.end.set()


def test_jax_makes_gloo_by_the_function_that_is_replaced():
    """In a process that is connected as ksim connects it, and for one call."""
    code = """
import jax
from jaxlib import _jax
from ksim.launch.resources import free_loopback_address
from ksim.xla.gloo import prepare_gloo
made = []
def make(**options):
    made.append(options.get("hostname"))
    return of_jax(**options)
of_jax, _jax.make_gloo_tcp_collectives = _jax.make_gloo_tcp_collectives, make
prepare_gloo("127.0.0.1")
assert _jax.make_gloo_tcp_collectives is not make
jax.distributed.initialize(free_loopback_address(), 1, 0)
jax.devices()
assert made == ["127.0.0.1"], made
assert _jax.make_gloo_tcp_collectives is make  # as it was
"""
    run_python(code, JAX_PLATFORMS="cpu")


@has_policies
def test_its_thread_interrupts_nobody(gloo):
    prepare_gloo("127.0.0.2")
    collectives = _jax.make_gloo_tcp_collectives(distributed_client=None)
    assert collectives is gloo
    assert gloo.options == {"hostname": "127.0.0.2", "distributed_client": None}
    assert os.sched_getscheduler(gloo.thread.native_id) == os.SCHED_BATCH
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    assert _jax.make_gloo_tcp_collectives == gloo.make


def test_a_jax_without_gloo(monkeypatch, plain_ways):
    monkeypatch.delattr(_jax, "make_gloo_tcp_collectives")
    prepare_gloo("127.0.0.1")
    prepare_gloo("127.0.0.1")
    assert not hasattr(_jax, "make_gloo_tcp_collectives")
    (message,) = plain_ways.messages
    assert "make_gloo_tcp_collectives" in message


def test_a_gloo_that_takes_no_address(monkeypatch, plain_ways):
    def make(distributed_client):
        return distributed_client, "collectives"

    monkeypatch.setattr(_jax, "make_gloo_tcp_collectives", make)
    prepare_gloo("127.0.0.1")
    made = _jax.make_gloo_tcp_collectives(distributed_client="client")
    assert made == ("client", "collectives")
    (message,) = plain_ways.messages
    assert "hostname" in message


@has_policies
def test_a_thread_that_has_ended():
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    let_others_finish(thread.native_id)
