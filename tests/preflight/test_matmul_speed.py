"""Networks timed in float32 and bfloat16, and the choice between them."""

import io

import jax
import numpy as np
import pytest
from rich.console import Console

from ksim.nn import ActorCritic, bind
from ksim.preflight import matmul_speed
from ksim.preflight.matmul_speed import MatmulTimes, Minibatch, matmul_times, medians_by_turns
from ksim.reporting.status import RunStatus


@pytest.mark.parametrize(
    ("bfloat16", "precision"),
    [
        (0.89e-3, "bfloat16"),  # saves 11%
        (0.91e-3, "float32"),  # 9%
        (1.50e-3, "float32"),
        (0.30e-3, "bfloat16"),
    ],
)
def test_rounding_must_save_a_tenth_of_the_time(bfloat16, precision):
    chosen, reason = MatmulTimes(float32=1e-3, bfloat16=bfloat16).choice()
    assert chosen == precision
    assert f"takes 1 ms in float32 and {1e3 * bfloat16:.3g} ms in bfloat16" in reason
    assert "has to save 10%" in reason


def test_medians_are_taken_by_turns_without_the_first(monkeypatch):
    class Clock:
        now = 0.0

        def perf_counter(self):
            return self.now

    clock, order = Clock(), []
    seconds = {"a": iter([100, 1, 9, 2, 3, 2]), "b": iter([200, 5, 5, 7, 90, 6])}
    monkeypatch.setattr(matmul_speed, "time", clock)

    def run(name):
        order.append(name)
        clock.now += next(seconds[name])

    # Five turns count, since half a second has long passed: of 1 2 2 3 9, and of 5 5 6 7 90.
    medians = medians_by_turns({name: (lambda name=name: run(name)) for name in seconds})
    assert medians == {"a": 2, "b": 6}
    assert order == ["a", "b"] * 6


def models(network="mlp", hidden_sizes=(8, 8)):
    return {
        precision: jax.eval_shape(
            lambda precision=precision: bind(
                ActorCritic.create(
                    {"joints": (3,), "image": (2, 2)},
                    2,
                    network=network,
                    hidden_sizes=hidden_sizes,
                    matmul_precision=precision,
                ),
                jax.random.key(0),
            )
        )
        for precision in ("float32", "bfloat16")
    }


def minibatch(num_envs=4):
    shapes = {"joints": (3,), "image": (2, 2)}
    return Minibatch(shapes, num_steps=5, num_envs=num_envs, device=jax.devices()[3])


@pytest.mark.parametrize("network", ["mlp", "gru"])
def test_networks_are_run_forward_and_back_in_the_precision_that_they_have(network):
    gradients = {
        name: matmul_speed._compiled(model, minibatch())()
        for name, model in models(network).items()
    }
    exact, rounded = (jax.tree.leaves(gradients[name]) for name in ("float32", "bfloat16"))
    for one, other in zip(exact, rounded, strict=True):
        assert one.devices() == {jax.devices()[3]}
        assert np.all(np.isfinite(one)) and np.any(one != 0)
        np.testing.assert_allclose(one, other, rtol=0.1, atol=0.1 * np.abs(one).max())
    assert any(np.any(np.asarray(one) != other) for one, other in zip(exact, rounded, strict=True))


def status():
    return RunStatus(console=Console(file=io.StringIO()))


def test_what_was_measured_before_is_not_measured_again(monkeypatch):
    measured = []

    def measure(models, minibatch):
        measured.append(minibatch.num_envs)
        return MatmulTimes(2.0, 1.0 + len(measured))

    monkeypatch.setattr(matmul_speed, "measure", measure)
    first = matmul_times(models(), minibatch(), status(), is_kept=True)
    assert matmul_times(models(), minibatch(), status(), is_kept=True) == first
    assert measured == [4]
    # Other shapes are another measurement, and what is not to be kept is measured each time.
    assert matmul_times(models(), minibatch(8), status(), is_kept=True) != first
    matmul_times(models(hidden_sizes=(8, 16)), minibatch(), status(), is_kept=True)
    matmul_times(models(), minibatch(), status(), is_kept=False)
    matmul_times(models(), minibatch(), status(), is_kept=False)
    assert measured == [4, 8, 4, 4, 4]


def test_a_measurement_is_shown(capsys):
    with RunStatus() as shown:
        matmul_times(models(), minibatch(), shown, is_kept=False)
    assert "measuring the networks in float32 and bfloat16 ..." in capsys.readouterr().out
