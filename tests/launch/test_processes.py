"""The same run in one process and in several, and processes that do not fit together."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest

from ksim.config.launched import ADDRESS_VARIABLE, COUNT_VARIABLE, ID_VARIABLE
from ksim.launch.resources import free_loopback_address
from ksim.storage.checkpoint_folder import find_checkpoint, list_checkpoints
from tests.launch.launching import output_of, shell_variables, start_launcher
from tests.small_cartpole import (
    SMALL_ARGUMENTS,
    numbers,
    read_metrics,
    small_task,
    without_times,
)
from tests.small_mujoco_task import SmallMujocoConfig, SmallMujocoTask

NUM_ITERATIONS = 10
TOLERANCE = {"rtol": 1e-4, "atol": 2e-6}


@pytest.fixture(scope="module")
def variables(tmp_path_factory):
    return shell_variables(tmp_path_factory.mktemp("cache"))


@dataclasses.dataclass(frozen=True)
class Started:
    """A small task, as a function makes it and as a command line does."""

    make: Callable
    module: str
    arguments: list[str]
    name: str


def small_mujoco_task(engine):
    return Started(
        lambda **changes: SmallMujocoTask(SmallMujocoConfig(engine=engine, **changes)),
        "tests.small_mujoco_task",
        [f"engine={engine}"],
        "small_mujoco",
    )


TASKS = {
    "cartpole": Started(small_task, "examples.cartpole", SMALL_ARGUMENTS, "cart_pole"),
    "native": small_mujoco_task("mujoco"),
    "mjx": small_mujoco_task("mjx"),
}


def last_state(task, run_dir):
    """What was learned. (Types are checked here, which reads every field of the physics: its state
    holds more of them than that of the processes, which check none.)"""
    target = {"train": task.make(num_devices=1).build().initial_train_state(0)}
    return numbers(find_checkpoint(run_dir).restore(target, part="train/"))


@pytest.fixture(scope="module")
def single(request, tmp_path_factory):
    """The run on a single device."""
    run_dir = tmp_path_factory.mktemp("single") / "run"
    with jax.numpy_rank_promotion("allow"):  # MJX broadcasts
        request.param.make(num_devices=1, run_dir=str(run_dir), max_steps=NUM_ITERATIONS).run()
    return request.param, run_dir


of_the_cartpole = pytest.mark.parametrize("single", [TASKS["cartpole"]], indirect=True)


@pytest.mark.parametrize(
    ("single", "count"),
    [
        pytest.param(
            task,
            count,
            id=f"{name}-{count}",
            marks=[] if (name, count) == ("cartpole", 2) else pytest.mark.slow,
        )
        for name, task in TASKS.items()
        for count in (2, 4)
    ],
    indirect=["single"],
)
def test_the_number_of_processes_does_not_change_the_run(count, single, variables, tmp_path):
    task, single_dir = single
    launcher = start_launcher(
        variables,
        tmp_path,
        f"max_steps={NUM_ITERATIONS}",
        num_processes=count,
        module=task.module,
        task_arguments=task.arguments,
    )
    try:
        assert launcher.wait(timeout=400) == 0, output_of(tmp_path)
    finally:
        launcher.kill()
    (run_dir,) = (tmp_path / "runs" / task.name).iterdir()  # one for all processes
    assert len(list((run_dir / "tensorboard").iterdir())) == 1
    assert [path.name for path in list_checkpoints(run_dir / "checkpoints")] == ["step_00000010"]
    lines, expected = read_metrics(run_dir), read_metrics(single_dir)
    assert len(lines) == NUM_ITERATIONS
    for line, other in zip(lines, expected, strict=True):
        for name in without_times(other):
            np.testing.assert_allclose(line[name], other[name], **TOLERANCE, err_msg=name)
        assert line["device/is_identical"] == 1
    state, others = last_state(task, run_dir), last_state(task, single_dir)
    for name, value in others.items():
        np.testing.assert_allclose(state[name], value, **TOLERANCE, err_msg=name)
    output = output_of(tmp_path)
    assert f"[0] Run runs/{task.name}/run_000 begins: 16 environments on {count} cpu" in output
    assert f"in {count} processes" in output
    assert output.count("Finished after") == 1
    for index in range(1, count):
        assert f"[{index}] Process {index} (" in output
    assert "Process 0 (" not in output


def run_processes(variables, folder, *arguments):
    """Starts one process for each list of arguments; returns what they print and their status."""
    address = free_loopback_address()
    common = ["-m", "examples.cartpole", *SMALL_ARGUMENTS, f"coordinator_address={address}"]
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, *common, "num_processes=2", f"process_id={index}"),
                *(f"run_dir={folder}/run", *own),
            ],
            cwd=folder,
            env=variables,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for index, own in enumerate(arguments)
    ]
    outputs = [process.communicate(timeout=200)[0] for process in processes]
    return outputs, [process.returncode for process in processes]


def test_processes_that_disagree_do_not_start(variables, tmp_path):
    outputs, statuses = run_processes(variables, tmp_path, ["seed=1"], ["seed=2"])
    assert statuses == [2, 2]
    for output in outputs:
        assert "error: The processes of this run do not agree" in output
        assert "option seed: 1 in process 0; 2 in process 1" in output
    assert not (tmp_path / "run").exists()


def test_other_code_does_not_start(variables, tmp_path):
    """Process 1 has a ksim with one comment more."""
    import shutil

    import ksim

    copy = tmp_path / "other"
    shutil.copytree(Path(ksim.__file__).parent, copy / "ksim")
    changed = copy / "ksim" / "rl" / "gae.py"
    changed.write_text(changed.read_text() + "# changed\n")
    address = free_loopback_address()
    paths = [variables["PYTHONPATH"], f"{copy}:{variables['PYTHONPATH']}"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "examples.cartpole", *SMALL_ARGUMENTS, "max_steps=1"],
            cwd=tmp_path,
            env=variables
            | {"PYTHONPATH": path, ADDRESS_VARIABLE: address}
            | {COUNT_VARIABLE: "2", ID_VARIABLE: str(index)},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for index, path in enumerate(paths)
    ]
    outputs = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [2, 2]
    for output in outputs:
        assert "code of ksim: " in output and " in process 0; " in output


@pytest.mark.slow
def test_a_checkpoint_that_one_process_does_not_see(variables, tmp_path):
    """Machines without a common file system: the same words name different directories."""
    here, there = tmp_path / "here", tmp_path / "there"
    there.mkdir()
    small_task(num_devices=1, run_dir=str(here / "run"), max_steps=2).run()
    address = free_loopback_address()
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "examples.cartpole", *SMALL_ARGUMENTS, "run_dir=run"),
                *(f"coordinator_address={address}", "num_processes=2", f"process_id={index}"),
            ],
            cwd=folder,
            env=variables,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for index, folder in enumerate((here, there))
    ]
    outputs = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [2, 2], outputs
    for output in outputs:
        assert "step of the checkpoint to continue: 2 in process 0; none in process 1" in output


@pytest.mark.slow
@of_the_cartpole
def test_evaluation_in_two_processes_is_that_of_one(single, variables, tmp_path):
    _, single_dir = single
    launcher = start_launcher(
        variables,
        tmp_path,
        "run_mode=evaluate",
        f"load_from_ckpt_path={single_dir}",
        module="examples.cartpole",
    )
    assert launcher.wait(timeout=300) == 0, output_of(tmp_path)
    expected = read_metrics(single_dir)[-1]["eval/episode/return"]
    output = output_of(tmp_path)
    assert f"[0]   eval/episode/return {expected:.4g}" in output
    assert output.count("eval/episode/return ") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@of_the_cartpole
def test_a_run_continues_with_another_number_of_processes(single, variables, tmp_path):
    task, single_dir = single
    """Five iterations in two processes, five more in one, and it is the run of one."""
    common = [f"run_dir={tmp_path}/run"]
    for count, max_steps in ((2, 5), (1, NUM_ITERATIONS)):
        launcher = start_launcher(
            variables,
            tmp_path,
            *common,
            f"max_steps={max_steps}",
            num_processes=count,
            module="examples.cartpole",
        )
        assert launcher.wait(timeout=300) == 0, output_of(tmp_path)
    lines, expected = read_metrics(tmp_path / "run"), read_metrics(single_dir)
    returns = [[line.get("episode/return") for line in run] for run in (lines, expected)]
    np.testing.assert_allclose(*returns, **TOLERANCE)
    state, others = last_state(task, tmp_path / "run"), last_state(task, single_dir)
    for name, value in others.items():
        np.testing.assert_allclose(state[name], value, **TOLERANCE, err_msg=name)


def test_the_launcher_does_without_jax():
    code = "import sys, ksim.launch; assert not {'jax', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
