"""A task that overrides `_rollout` has to move the levels of its environments on."""

import jax
import pytest

import ksim
from examples.cartpole import CartPoleTask
from tests.remembering_task import LongerIsHarder
from tests.small_cartpole import initial_states, request, small_config


class OverridingTask(CartPoleTask):
    """A pole with a rollout of its own, which takes one curriculum while the run has another."""

    def __init__(self, curriculum, given, **options):
        super().__init__(small_config(**options))
        self.chosen, self.given = curriculum, given

    def get_curriculum(self, physics_model):
        return self.chosen

    def _rollout(self, model, env_state, model_carry, rng):
        return ksim.rl.rollout(
            self.environment,
            model,
            env_state,
            model_carry,
            rng,
            num_steps=self.iteration.num_steps,
            curriculum=self.given,
        )


def trace(task):
    """Traces the rollout, as compiling it does; returns shapes and dtypes of the environments."""
    program = task.build()
    states = initial_states(program)
    return jax.eval_shape(program.partitioned().rollout, *states, request(program, 0))[0]


@pytest.mark.parametrize("partitioner", ["pmap", "shard_map"])
@pytest.mark.parametrize("num_devices", [1, 2])
def test_levels_that_a_rollout_leaves_alone_are_refused(num_devices, partitioner):
    options = {"num_devices": num_devices, "partitioner": partitioner}
    told = (
        r"OverridingTask\._rollout returns the levels of its environments as they were, and"
        r" LongerIsHarder sets a level .*Write ksim\.rl\.rollout\(\.\.\., curriculum=self\.curr"
    )
    with pytest.raises(ValueError, match=told):
        trace(OverridingTask(LongerIsHarder(), None, **options))
    of_the_run = ksim.ConstantCurriculum(level=1.0)
    with pytest.raises(ValueError, match=told):
        trace(OverridingTask(LongerIsHarder(), of_the_run, **options))
    assert trace(OverridingTask(LongerIsHarder(), LongerIsHarder(), **options)).level.size == 16
    assert trace(OverridingTask(of_the_run, None, **options)).level.size == 16


@pytest.mark.parametrize("run_mode", ["train", "verify"])
def test_it_is_said_before_anything_is_compiled(run_mode, tmp_path, capsys):
    task = OverridingTask(
        LongerIsHarder(),
        None,
        num_devices=1,
        max_steps=1,
        run_mode=run_mode,
        run_dir=str(tmp_path / "run"),
    )
    with pytest.raises(ValueError, match=r"Write ksim\.rl\.rollout"):
        task.run()
    output = capsys.readouterr().out
    assert "stopped while tracing the rollout" in output
    assert "compiling" not in output
