"""Options that XLA is given with the programs of a run."""

import collections

import jax
import pytest

from ksim.preflight.trial import Trial
from ksim.reporting.status import RunStatus
from ksim.xla.compiler_options import RUN_ONCE, heard_options
from ksim.xla.threefry_rule import rules_for_cpus, threefry2x32_p
from tests.small_cartpole import small_task
from tests.small_mujoco_task import SmallMujocoConfig, SmallMujocoTask


@pytest.fixture
def told(monkeypatch):
    """The options of every compilation; only the states that programs start from are made."""
    jax.devices()  # JAX starts with the devices of all tests, before XLA_FLAGS are changed
    options = []
    compile_as_before = jax.stages.Lowered.compile

    def compile_and_note(self, compiler_options=None):
        options.append(compiler_options)
        return compile_as_before(self) if compiler_options == heard_options(RUN_ONCE) else None

    monkeypatch.setattr(jax.stages.Lowered, "compile", compile_and_note)
    return options


def compile_small(task):
    Trial.compile(task.build(), 0, RunStatus(is_shown=False))


def test_rollouts_of_native_physics_are_compiled_quickly(told, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    compile_small(SmallMujocoTask(SmallMujocoConfig(engine="mujoco", num_devices=1)))
    rollouts = {"xla_backend_optimization_level": 1, "xla_cpu_use_fusion_emitters": False}
    assert heard_options(rollouts) in told


def test_small_operations_of_mjx_are_compiled_by_xla_itself(told, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    with jax.numpy_rank_promotion("allow"):  # MJX broadcasts
        compile_small(SmallMujocoTask(SmallMujocoConfig(engine="mjx", num_devices=1)))
    assert {
        "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT",
        "xla_cpu_use_xnnpack": False,
    } in told


def test_xla_flags_have_the_last_word(told, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=3")
    compile_small(SmallMujocoTask(SmallMujocoConfig(engine="mujoco", num_devices=1)))
    assert told
    assert not any("xla_backend_optimization_level" in options for options in told)


def test_other_programs_are_told_little(told, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    compile_small(small_task(num_devices=1))
    assert told.count(heard_options(RUN_ONCE)) == 2  # the first train state, the environments
    assert told.count({"xla_llvm_disable_expensive_passes": True}) == 1  # the update
    assert told.count({}) == 1  # the rollout: compiled as well as can be
    assert len(told) == 4


def num_loops(monkeypatch, is_unrolled):
    """Counts the loops of the cart-pole's rollout, and of its update."""
    counts = {}

    def count(lowered, options):
        counts[len(options)] = lowered.as_text().count("stablehlo.while")

    monkeypatch.setattr("ksim.training.compilation.compile_with", count)
    monkeypatch.setattr("ksim.xla.threefry._is_understood", lambda: is_unrolled)
    compile_small(small_task(num_devices=1))
    return counts[0], counts[1]  # the update alone has an option


def test_random_numbers_are_drawn_without_loops_and_jax_is_left_as_it_was(monkeypatch):
    of_jax = rules_for_cpus()[threefry2x32_p]
    unrolled, plain = (num_loops(monkeypatch, is_unrolled) for is_unrolled in (True, False))
    assert all(less < more for less, more in zip(unrolled, plain, strict=True))
    assert rules_for_cpus()[threefry2x32_p] is of_jax


def test_a_second_start_compiles_nothing(monkeypatch):
    """Native physics are called by name: what calls them is kept like every other program."""
    monkeypatch.setenv("XLA_FLAGS", "")
    events = collections.Counter()
    listen = lambda event, **_: events.update([event.rpartition("/")[2]])  # noqa: E731
    shortest = jax.config.jax_persistent_cache_min_compile_time_secs
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    try:
        for _ in range(2):
            events.clear()
            jax.monitoring.register_event_listener(listen)
            compile_small(SmallMujocoTask(SmallMujocoConfig(engine="mujoco", num_devices=2)))
            jax.monitoring.unregister_event_listener(listen)
    finally:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", shortest)
    # The first train state, the environments, the rollout, the update.
    assert (events["cache_hits"], events["cache_misses"]) == (4, 0)


def test_what_fails_in_the_other_thread_is_raised(monkeypatch):
    compile_as_before = jax.stages.Lowered.compile

    def fail(self, compiler_options=None):
        if compiler_options == {}:  # the rollout's
            raise RuntimeError("no memory left")
        return compile_as_before(self)

    monkeypatch.setattr(jax.stages.Lowered, "compile", fail)
    with pytest.raises(RuntimeError, match="no memory left"):
        compile_small(small_task(num_devices=1))
