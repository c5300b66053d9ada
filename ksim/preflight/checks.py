"""Runs the checks of the checklist on a trial."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ksim.config.concerns import RunConfig
from ksim.parallel import CollectiveSpeed, Placement, mean_over_devices
from ksim.parallel.processes import ProcessGroup
from ksim.preflight import checklist
from ksim.preflight.checklist import Check
from ksim.preflight.trial import Trial, TrialTimes
from ksim.reporting.status import RunStatus
from ksim.storage.checkpoint import open_checkpoint, save_checkpoint
from ksim.storage.run_directory import user_path
from ksim.storage.state_leaves import named_leaves
from ksim.training.baseline import single_device_rate
from ksim.training.program import Program
from ksim.training.run_state import RunState
from ksim.xla.key_data import without_key

RUNS = "runs"


def run_checks(
    trial: Trial,
    times: TrialTimes,
    config: RunConfig,
    speed: CollectiveSpeed | None,
    processes: ProcessGroup,
    on_one_device: Callable[[], Program] | None = None,
) -> tuple[Check, ...]:
    """Returns the checklist; all processes of a run call this together.

    Args:
      trial: the compiled program, and the states after some iterations.
      times: of these iterations.
      config: options of the run.
      speed: of averages over the devices; `None` for one device.
      processes: the processes of the run.
      on_one_device: builds the same task on one device, to compare the speed with; `None` if that
        cannot be.
    """
    program = trial.program
    num_devices = program.partitioner.num_devices
    are_cores_shared = shares_cores(program)
    alone = single_device_rate(config)
    if alone is None and on_one_device is not None and not are_cores_shared and num_devices > 1:
        alone = rate_on_one_device(on_one_device, config.seed)
    views = processes.exchange(
        "the checklist",
        [
            run_path(config, program.task_name),
            {str(index): seconds for index, seconds in times.device_seconds.items()},
        ],
    )
    seconds_of_processes = [of_process for _, of_process in views]
    device_seconds = {int(i): s for each in seconds_of_processes for i, s in each.items()}
    updated = times.update_metrics
    return (
        checklist.all_devices_busy(device_seconds, are_cores_shared),
        checklist.fast_together(times.rate, alone, num_devices, are_cores_shared),
        checklist.one_run_directory([path for path, _ in views]),
        checklist.parameters_equal(
            bool(updated["device/is_identical"]), updated["device/replica_drift"], num_devices
        ),
        checklist.collectives_right(
            average_of_places(program), None if speed is None else speed.latency_seconds
        ),
        saved_and_loaded(trial, processes),
        checklist.smoke_test(updated, trial.num_iterations),
    )


def shares_cores(program: Program) -> bool:
    """Returns whether the devices are simulated, and take turns on the cores of the machine."""
    devices = program.partitioner.devices
    return len(devices) > 1 and devices[0].platform == "cpu"


def rate_on_one_device(on_one_device: Callable[[], Program], seed: int) -> float:
    """Returns the environment steps in a second of a task on one device."""
    with RunStatus() as status:
        trial = Trial.compile(on_one_device(), seed, status)
        with status.phase("running a trial on one device"):
            return trial.run().rate


def run_path(config: RunConfig, task_name: str) -> str:
    """Returns where this process would keep a run, as an absolute path."""
    path = Path(RUNS) / task_name if config.run_dir is None else user_path(config.run_dir)
    return str(path.absolute())


def average_of_places(program: Program) -> list[float]:
    """Returns the average of the devices' places, 0, 1, 2, ..., as each device computes it."""
    partitioner = program.partitioner
    average = partitioner.partition(
        lambda place: mean_over_devices(place, partitioner.axis_name),
        (Placement.SHARDED,),
        Placement.SHARDED,
    )
    places = partitioner.shard_environments(np.arange(partitioner.num_devices, dtype=np.float32))
    found = partitioner.gather_environments(average(places))
    return [float(value) for value in found]


def saved_and_loaded(trial: Trial, processes: ProcessGroup) -> Check:
    """Checks that a checkpoint of the trial comes back on one device, in process 0."""
    program = trial.program
    state = RunState(
        trial.train_state,
        trial.env_state,
        trial.memory,
        trial.train_state if program.acting.has_own_state else None,
        trial.num_iterations,
    )
    whole = state.gather(program)
    found = None
    if processes.is_main:
        with tempfile.TemporaryDirectory(prefix="ksim_checkpoint_") as folder:
            path = save_checkpoint(Path(folder), trial.num_iterations, whole, {})
            restored = open_checkpoint(path).restore(RunState.shapes(program))
        device = jax.local_devices()[0]
        found = compared(whole, jax.device_put(restored, device))
    num_arrays, num_bytes, different = processes.from_main("the checkpoint of the trial", found)
    return checklist.checkpoint_loads(num_arrays, num_bytes, different)


def compared(saved: Any, loaded: Any) -> list[Any]:
    """Returns the number and the size of arrays that were saved, and names of changed ones."""
    before, after = (
        {name: np.asarray(without_key(leaf)) for name, leaf in named_leaves(tree).items()}
        for tree in (saved, loaded)
    )
    different = [
        name
        for name, array in before.items()
        if name not in after or array.tobytes() != after[name].tobytes()
    ]
    return [len(before), sum(array.nbytes for array in before.values()), different]
