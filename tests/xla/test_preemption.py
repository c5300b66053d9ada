import jax

from ksim.xla.preemption import keep_sigterm


def test_jax_has_the_option(plain_ways):
    before = jax.config.jax_enable_preemption_service
    try:
        jax.config.update("jax_enable_preemption_service", True)
        keep_sigterm()
        assert jax.config.jax_enable_preemption_service is False
    finally:
        jax.config.update("jax_enable_preemption_service", before)
    assert plain_ways.messages == []


def test_a_jax_without_the_option(plain_ways, monkeypatch):
    def update(name, value):
        raise AttributeError(f"Unrecognized config option: {name}")

    monkeypatch.setattr(jax.config, "update", update)
    keep_sigterm()
    keep_sigterm()
    (message,) = plain_ways.messages
    assert "Unrecognized config option: jax_enable_preemption_service" in message
    assert "without a last checkpoint" in message
