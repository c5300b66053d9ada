"""What `matmul_precision=auto` comes to, and that the networks multiply as they are told."""

import dataclasses

import jax
import pytest

import ksim
from ksim.config import parse_command_line
from ksim.functional.environment_task import EnvironmentTask
from ksim.parallel.processes import SingleProcess
from ksim.preflight import matmul_speed
from ksim.preflight.matmul_speed import MatmulTimes
from ksim.storage.checkpoint_folder import find_checkpoint
from ksim.training.start import Start
from ksim.vibe_rl.algorithms.ppo import PPO, PPOConfig
from ksim.vibe_rl.env import make
from ksim.vibe_rl.runner import RunnerConfig
from tests.small_cartpole import read_metrics, small_config, small_task


@pytest.fixture
def measured(monkeypatch):
    """Lets networks be timed without a clock; holds what was timed, and what comes out next."""

    class Measured(list):
        bfloat16 = 0.5

    measured = Measured()

    def measure(models, minibatch):
        definitions = {name: model.definition.actor for name, model in models.items()}
        assert {name: d.matmul_precision for name, d in definitions.items()} == {
            "float32": "float32",
            "bfloat16": "bfloat16",
        }
        measured.append((minibatch.num_steps, minibatch.num_envs))
        return MatmulTimes(1.0, measured.bfloat16)

    monkeypatch.setattr(matmul_speed, "measure", measure)
    return measured


def auto_task(**changes):
    return small_task(matmul_precision="auto", **changes)


@pytest.mark.parametrize("chosen", ["float32", "bfloat16"])
def test_a_run_says_and_keeps_what_auto_came_to(measured, chosen, tmp_path, capsys):
    measured.bfloat16 = {"float32": 0.91, "bfloat16": 0.89}[chosen]
    run = tmp_path / "run"
    task = auto_task(num_devices=1, max_steps=1, run_dir=str(run))
    task.run()
    assert task.config.matmul_precision == chosen
    note = "a minibatch through the networks and back takes 1e+03 ms in float32 and"
    assert f"matmul_precision={chosen}: chosen by matmul_precision=auto: " in (
        output := capsys.readouterr().out
    )
    assert note in output
    text = (run / "config.yaml").read_text()
    assert f"matmul_precision: {chosen}" in text
    assert "# chosen by matmul_precision=auto: on this processor a minibatch" in text
    model = task.get_model(task.environment)
    assert model.actor.matmul_precision == model.critic.matmul_precision == chosen
    # 16 steps of 8 environments. What is built again on this machine is not measured again.
    assert measured == [(16, 8)]
    assert auto_task(num_devices=1).build() and measured == [(16, 8)]


@pytest.mark.parametrize(
    ("changes", "shape"),
    [
        ({"num_devices": 2}, (16, 4)),  # 8 environments in a minibatch, on two devices
        ({"num_devices": 2, "scaling": "weak"}, (16, 8)),  # 8 on each
        ({"num_devices": 1, "rollout_length_frames": 4, "batch_size": 16}, (4, 16)),
    ],
)
def test_what_is_measured_is_the_minibatch_of_a_device(measured, changes, shape):
    auto_task(**changes).build()
    assert measured == [shape]


def test_a_run_that_goes_on_keeps_its_precision(measured, tmp_path, capsys):
    run = tmp_path / "run"
    auto_task(num_devices=1, max_steps=1, run_dir=str(run)).run()
    measured.bfloat16 = 2.0  # another machine, on which rounding does not pay
    options = {"num_devices": 1, "is_compilation_cached": False, "run_dir": str(run)}
    task = auto_task(max_steps=2, **options)
    capsys.readouterr()
    task.run()
    assert task.config.matmul_precision == "bfloat16"
    assert f"auto: as {find_checkpoint(run).path.parent / 'step_00000001'} was trained." in (
        capsys.readouterr().out
    )
    evaluated = auto_task(run_mode="evaluate", **options)
    evaluated.run()
    assert evaluated.config.matmul_precision == "bfloat16"
    assert len(measured) == 1
    # What is given is taken, and is what goes on from then.
    small_task(matmul_precision="float32", max_steps=3, **options).run()
    assert find_checkpoint(run).metadata["matmul_precision"] == "float32"
    assert auto_task(**options).build().kept_options == {"matmul_precision": "float32"}
    assert len(measured) == 1


def test_a_checkpoint_that_does_not_know_its_precision_is_measured(measured, monkeypatch, tmp_path):
    run = tmp_path / "run"
    auto_task(num_devices=1, max_steps=1, run_dir=str(run)).run()
    checkpoint = find_checkpoint(run)
    known = {name: x for name, x in checkpoint.metadata.items() if name != "matmul_precision"}
    older = Start(dataclasses.replace(checkpoint, metadata=known))
    monkeypatch.setattr(Start, "of", lambda config: older)
    measured.bfloat16 = 2.0
    task = auto_task(num_devices=1, is_compilation_cached=False, run_dir=str(run))
    task.build()
    assert task.config.matmul_precision == "float32"
    assert len(measured) == 2


class Others(SingleProcess):
    """One process of two, as `index` says; process 0 says bfloat16."""

    def __init__(self, index):
        super().__init__()
        self.index, self.given = index, None

    def exchange(self, tag, value, timeout_seconds=None):
        self.given = value
        return [["bfloat16", "because process 0 says so."], value]


def test_process_0_decides_for_all(measured, monkeypatch):
    measured.bfloat16 = 2.0
    task = auto_task(num_devices=1, is_compilation_cached=False)
    task.settle()
    for index, given in ((1, None), (0, "float32")):
        processes = Others(index)
        monkeypatch.setattr("ksim.parallel.processes.current_processes", lambda p=processes: p)
        config, reason = ksim.task.automatic.settle_matmul_precision(
            task, Start(), lambda: task.environment.observation_shapes()
        )
        assert (config.matmul_precision, reason) == ("bfloat16", "because process 0 says so.")
        assert (processes.given and processes.given[0]) == given
    assert len(measured) == 1  # by process 0 alone


def test_accelerators_stay_exact(measured, monkeypatch):
    task = auto_task(num_devices=1)

    class Gpu:
        platform = "gpu"

    class Partitioner:
        devices = (Gpu(),)

    task.partitioner = Partitioner()
    config, reason = ksim.task.automatic.settle_matmul_precision(
        task, Start(), lambda: task.environment.observation_shapes()
    )
    assert config.matmul_precision == "float32"
    assert reason == "matmul_precision=auto rounds on CPUs only, and this is gpu."
    assert measured == []


def test_before_it_is_settled_networks_are_exact():
    task = auto_task(num_devices=1)
    assert task.get_model(task.environment).actor.matmul_precision == "float32"


def test_a_training_function_measures_too(measured, capsys):
    environment, _ = make("CartPole-v1")
    options = PPOConfig(matmul_precision="auto", n_steps=8, n_minibatches=2)
    runner = RunnerConfig(num_envs=6, num_devices=2, total_timesteps=96)
    task = EnvironmentTask(environment, options, runner)
    assert task.build().notes["matmul_precision"].startswith("chosen by")
    assert task.config.matmul_precision == "bfloat16"
    # Two minibatches of half of 8 steps, of 2 * 6 environments on two devices.
    assert measured == [(4, 6)]
    # An agent that only acts is not measured for.
    agent = PPO.init(jax.random.key(0), env=environment, config=options)
    assert agent.learner.model.definition.actor.matmul_precision == "float32"
    assert measured == [(4, 6)]


def test_a_real_measurement():
    task = auto_task(num_devices=2)
    notes = task.build().notes
    assert task.config.matmul_precision in ("float32", "bfloat16")
    assert "ms in bfloat16, which has to save 10%." in notes["matmul_precision"]


def test_a_run_with_rounded_networks_stays_near_that_with_exact_ones(tmp_path):
    rows = {}
    for choice in ("float32", "bfloat16"):
        run = tmp_path / choice
        small_task(matmul_precision=choice, num_devices=2, max_steps=3, run_dir=str(run)).run()
        rows[choice] = read_metrics(run)
    for exact, rounded in zip(rows["float32"], rows["bfloat16"], strict=True):
        assert rounded["loss/value"] == pytest.approx(exact["loss/value"], rel=0.02)
        assert rounded["loss/value"] != exact["loss/value"]


def test_unknown_precision():
    with pytest.raises(ksim.ConfigError, match="float32, bfloat16, auto"):
        parse_command_line(small_config(), ["matmul_precision=float16"])
