"""A run that was stopped and continued is the run that was not."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from examples.cartpole import CartPoleTask
from ksim.config import load_config
from ksim.storage.checkpoint_folder import find_checkpoint, list_checkpoints
from ksim.training.program import Program
from ksim.training.start import Start
from tests.small_cartpole import (
    numbers,
    read_metrics,
    small_config,
    small_task,
    without_times,
)

REPOSITORY = Path(__file__).parents[2]
TOLERANCE = {"rtol": 1e-4, "atol": 2e-6}


def train(run_dir, max_steps, num_devices=4, **changes):
    changes = {"learning_rate": 3e-3, "save_every_n_steps": 3} | changes
    return small_task(
        run_dir=str(run_dir), max_steps=max_steps, num_devices=num_devices, **changes
    ).run()


def saved_state(run_dir):
    """Both pytrees of the last checkpoint, in the global layout."""
    program = small_task(num_devices=1).build()
    target = {"train": program.initial_train_state(0), "environments": program.new_environments(0)}
    return numbers(find_checkpoint(run_dir).restore(target))


def assert_bit_identical(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        assert found[name].tobytes() == value.tobytes(), name


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Six iterations on four devices, without a break; a checkpoint at three and at six."""
    return train(tmp_path_factory.mktemp("runs") / "straight", max_steps=6)


@pytest.fixture
def half(straight, tmp_path):
    """The directory of the same run, stopped after three iterations."""
    train(tmp_path / "half", max_steps=3)
    return tmp_path / "half"


def test_resumed_in_its_directory_it_is_bit_identical(straight, half, monkeypatch):
    assert [path.name for path in list_checkpoints(half / "checkpoints")] == ["step_00000003"]
    with monkeypatch.context() as patch:
        patch.delattr(Program, "initial_train_state")  # there is no need of a new one
        resumed = train(half, max_steps=6)
    assert resumed.iteration == 6
    assert_bit_identical(numbers(resumed.train_state), numbers(straight.train_state))
    assert_bit_identical(saved_state(half), saved_state(straight.path))

    found, expected = (list(map(without_times, read_metrics(p))) for p in (half, straight.path))
    assert [metrics["iteration"] for metrics in found] == [1, 2, 3, 4, 5, 6]
    # The first run of the two evaluated its last policy, after three iterations.
    found[2] = {n: value for n, value in found[2].items() if not n.startswith("eval/")}
    assert found == expected


def test_resumed_from_a_path_it_is_bit_identical(straight, half, tmp_path):
    for name, path in (
        ("checkpoint", half / "checkpoints" / "step_00000003"),
        ("folder", half / "checkpoints"),
        ("run", half),
    ):
        resumed = train(tmp_path / name, max_steps=6, load_from_ckpt_path=str(path))
        assert_bit_identical(numbers(resumed.train_state), numbers(straight.train_state))
        iterations = [metrics["iteration"] for metrics in read_metrics(tmp_path / name)]
        assert iterations == [4, 5, 6]
    assert [path.name for path in list_checkpoints(half / "checkpoints")] == ["step_00000003"]


def test_the_same_command_goes_on(half, tmp_path):
    """A batch system starts a failed job again with the options of its first start."""
    run_dir = tmp_path / "run"
    for max_steps in (4, 5):
        train(run_dir, max_steps, load_from_ckpt_path=str(half))
    assert [metrics["iteration"] for metrics in read_metrics(run_dir)] == [4, 5]
    log = (run_dir / "log.txt").read_text()
    assert f"step_00000004, its own, and not load_from_ckpt_path={half}: 16 environments" in log
    assert not list(run_dir.glob("checkpoints/*superseded*"))


def test_where_a_run_continues(half, tmp_path):
    def found(**options):
        return Start.of(small_config(**options)).path

    other = shutil.copytree(half, tmp_path / "other")
    checkpoints = [path / "checkpoints" / "step_00000003" for path in (half, other)]
    both = {"run_dir": str(half), "load_from_ckpt_path": str(other)}
    assert found(run_dir=str(half)) == checkpoints[0]
    assert found(load_from_ckpt_path=str(other)) == checkpoints[1]
    assert found(**both) == checkpoints[0]
    assert found(**both, run_mode="evaluate") == checkpoints[1]
    # One of its own is meant as it is named.
    before = shutil.copytree(checkpoints[0], checkpoints[0].with_name("step_00000002"))
    assert found(run_dir=str(half), load_from_ckpt_path=str(before)) == before
    # A run that went back leaves nothing to continue.
    shutil.rmtree(before)
    checkpoints[0].rename(checkpoints[0].with_name("step_00000003.superseded_0"))
    assert found(run_dir=str(half)) is None
    assert found(**both) == checkpoints[1]


class OtherCartPoleTask(CartPoleTask):
    """Another task of equal shapes."""


class CartPoleDistributedTask(CartPoleTask):
    """The same one, by its name."""


def test_what_fits_but_is_another_is_said(half, tmp_path):
    changes = {"num_devices": 4, "max_steps": 4, "load_from_ckpt_path": str(half)}

    def said(task_class, name, **more):
        config = small_config(**changes | {"run_dir": str(tmp_path / name)} | more)
        path = task_class(config).run().path
        log = (path / "log.txt").read_text()
        return [line.split("warning: ")[1] for line in log.splitlines() if "warning: " in line]

    assert said(CartPoleDistributedTask, "a") == []
    (seed,) = said(CartPoleTask, "b", seed=1)
    assert seed.startswith("seed=1 changes evaluations only") and "began with seed=0" in seed
    # What is stored with a checkpoint is the seed that its numbers come from.
    assert said(CartPoleTask, "c", load_from_ckpt_path=str(tmp_path / "b"), max_steps=5) == []
    (task,) = said(OtherCartPoleTask, "d")
    assert "of the task cart_pole, and this is other_cart_pole" in task


def test_the_config_of_a_run_begins_another_one(half):
    path = half / "config.yaml"
    assert f"# Not repeated: run_dir: {half}\n" in path.read_text()
    assert load_config(small_config(), path).run_dir is None


def test_the_launcher_hears_of_checkpoints_of_the_run_alone(half, tmp_path, monkeypatch):
    """If the run fails before its first save, a restart begins again from the other run."""
    reports = []
    for module in ("run", "saving"):
        report = f"ksim.training.{module}.report_to_launcher"
        monkeypatch.setattr(report, lambda path, step: reports.append((Path(path).name, step)))
    train(tmp_path / "new", max_steps=4, load_from_ckpt_path=str(half))
    assert reports == [("new", 0), ("new", 4)]
    train(half, max_steps=4)
    assert reports[2:] == [("half", 3), ("half", 4)]


@pytest.mark.parametrize("num_devices", [1, 2])
def test_resumed_on_fewer_devices_the_curve_goes_on(straight, half, num_devices):
    resumed = train(half, max_steps=6, num_devices=num_devices)
    expected = numbers(straight.train_state)
    for name, value in numbers(resumed.train_state).items():
        np.testing.assert_allclose(value, expected[name], **TOLERANCE, err_msg=name)
    for found, line in zip(read_metrics(half)[3:], read_metrics(straight.path)[3:], strict=True):
        for name, value in without_times(line).items():
            if not name.startswith("device/"):
                np.testing.assert_allclose(found[name], value, **TOLERANCE, err_msg=name)


def test_going_back_to_an_earlier_checkpoint_of_its_own(straight, tmp_path):
    """Later checkpoints and metrics are of the branch that the run has left."""
    shutil.copytree(straight.path, tmp_path / "run")
    checkpoints = tmp_path / "run" / "checkpoints"
    train(tmp_path / "run", max_steps=5, load_from_ckpt_path=str(checkpoints / "step_00000003"))
    names = [path.name for path in list_checkpoints(checkpoints)]
    assert names == ["step_00000003", "step_00000005"]
    iterations = [metrics["iteration"] for metrics in read_metrics(tmp_path / "run")]
    assert iterations == [1, 2, 3, 4, 5]


def test_a_finished_run_is_not_trained_again(straight, tmp_path):
    shutil.copytree(straight.path, tmp_path / "run")
    result = train(tmp_path / "run", max_steps=6)
    assert result.iteration == 6
    assert_bit_identical(numbers(result.train_state), numbers(straight.train_state))
    assert len(read_metrics(tmp_path / "run")) == 6
