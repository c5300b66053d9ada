import jax

from ksim.xla.backend import has_jax_started
from tests.xla.subprocesses import run_python


def test_jax_has_started_in_a_test():
    before = jax.config.jax_num_cpu_devices
    jax.devices()
    assert has_jax_started()
    assert jax.config.jax_num_cpu_devices == before


def test_asking_starts_nothing():
    code = """
import jax
from ksim.xla.backend import has_jax_started
assert not has_jax_started() and not has_jax_started()
assert jax.config.jax_num_cpu_devices == -1
jax.config.update("jax_num_cpu_devices", 3)  # still in time
assert not has_jax_started()
assert jax.device_count() == 3
assert has_jax_started()
"""
    run_python(code)
