import jax
import pytest

from ksim.xla import compiler_options
from ksim.xla.compiler_options import (
    HOST_CALLS,
    RUN_ONCE,
    SMALL_OPERATIONS,
    UPDATE,
    compile_with,
    heard_options,
)


@pytest.fixture
def lowered(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    return jax.jit(lambda x: x + 1).lower(1.0)


def test_xla_knows_every_option(lowered, plain_ways):
    options = {**RUN_ONCE, **HOST_CALLS, **UPDATE, **SMALL_OPERATIONS}
    assert compile_with(lowered, options)(1.0) == 2
    assert plain_ways.messages == []


def test_an_option_that_xla_is_known_to_have_no_more_is_left_out(monkeypatch):
    options = {"xla_cpu_use_fusion_emitters": False, "xla_cpu_use_xnnpack": False}
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setattr(jax, "__version_info__", (0, 9, 2))
    assert heard_options(options) == options
    monkeypatch.setattr(jax, "__version_info__", (0, 10, 0))
    assert heard_options(options) == {"xla_cpu_use_xnnpack": False}


def test_the_known_version_is_right(lowered):
    options = dict.fromkeys(compiler_options._REMOVED_IN, False)
    if heard_options(options) == options:
        lowered.compile(compiler_options=options)
    else:
        with pytest.raises(jax.errors.JaxRuntimeError, match="No such compile option"):
            lowered.compile(compiler_options=options)


def test_options_that_xla_refuses_are_dropped_with_a_warning(lowered, plain_ways):
    """The first is not known, the second has no such value."""
    refused = {"xla_cpu_think_harder": True, "xla_cpu_use_xnnpack": "perhaps"}
    for _ in range(2):
        compiled = compile_with(lowered, {**refused, "xla_backend_optimization_level": 1})
        assert compiled(1.0) == 2
    first, second = plain_ways.messages
    assert "xla_cpu_think_harder" in first and "xla_cpu_use_xnnpack" in second
    assert "xla_backend_optimization_level" not in first + second


def test_another_error_of_the_compiler_is_raised(lowered, monkeypatch):
    def fail(self, compiler_options=None):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: no memory left")

    monkeypatch.setattr(jax.stages.Lowered, "compile", fail)
    with pytest.raises(jax.errors.JaxRuntimeError, match="no memory left"):
        compile_with(lowered, {"xla_cpu_use_xnnpack": False})
