"""Whatever a user writes wrongly is said at once, before anything is compiled or left behind."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import ksim
from examples.cartpole import CartPoleConfig, CartPoleTask
from examples.walking_distributed import (
    HumanoidWalkingDistributedConfig,
    HumanoidWalkingDistributedTask,
)
from ksim.storage.checkpoint_folder import find_checkpoint
from tests.small_cartpole import SMALL_ARGUMENTS, small_task
from tests.small_mujoco_task import SmallMujocoConfig, SmallMujocoTask

REPOSITORY = Path(__file__).parents[2]


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def assert_refused(task_class, config, arguments, capsys, *phrases):
    """Launching ends with status 2 and one message; nothing else has happened."""
    before = files_below(Path.cwd())
    with pytest.raises(SystemExit) as stop:
        task_class.launch(config, arguments)
    output = capsys.readouterr()
    assert stop.value.code == 2
    assert output.err.startswith("error: ")
    for phrase in phrases:
        assert phrase in output.err
    assert "Traceback" not in output.err
    assert "compiling" not in output.out
    assert files_below(Path.cwd()) == before


OPTIONS = {
    "unknown option": (["num_env=8"], "num_env: no such option.", 'Did you mean "num_envs"?'),
    "unknown option, far from all": (["colour=red"], "colour: no such option. --help lists"),
    "dashes": (["--num-envs=8"], "options are written without dashes. Write num_envs=8"),
    "wrong type": (["num_envs=many"], "num_envs=many: expected int. Write, for example, num_envs="),
    "wrong type of a float": (["gamma=high"], "gamma=high: expected float."),
    "fraction of an environment": (["num_envs=8.5"], "num_envs=8.5: expected int."),
    "given twice": (["num_envs=8", "num_envs=16"], "num_envs is given twice"),
    "no value": (["num_envs="], "num_envs=: no value given."),
    "neither option nor file": (
        ["num_envs"],
        "neither option=value nor a .yaml file. Write num_envs=",
    ),
    "missing file": (["absent.yaml"], "absent.yaml"),
    "zero environments": (["num_envs=0"], "num_envs=0: must be at least 1."),
    "negative batch": (["batch_size=-4"], "batch_size=-4: must be at least 1."),
    "no passes": (["num_passes=0"], "num_passes=0: must be at least 1."),
    "no frames": (["rollout_length_frames=0"], "rollout_length_frames=0: must be at least 1."),
    "no seconds": (["rollout_length_seconds=0"], "must be above 0."),
    "no iterations": (["max_steps=-1"], "max_steps=-1: must be at least 1."),
    "no devices": (["num_devices=0"], "num_devices=0: must be at least 1."),
    "grad_sync_period below 1": (["grad_sync_period=0"], "grad_sync_period=0: must be at least 1."),
    "groups that do not come out even": (
        ["num_envs=12", "batch_size=4", "num_devices=4", "fsdp_devices=3"],
        "fsdp_devices=3 must divide the number of devices (4). Write fsdp_devices=2",
    ),
    "groups of one device": (
        ["num_envs=12", "batch_size=4", "num_devices=1", "fsdp_devices=2"],
        "fsdp_devices=2 must divide the number of devices (1). Write fsdp_devices=1",
    ),
    "groups under pmap": (
        ["partitioner=pmap", "fsdp_devices=2"],
        "fsdp_devices=2 needs partitioner=shard_map",
        "Write partitioner=shard_map, or fsdp_devices=1.",
    ),
    "an activation that does not exist": (
        ["activation=relo"],
        "activation=relo: must be one of elu, gelu, leaky_relu, relu, silu, tanh.",
        'Did you mean "relu"?',
    ),
    "a gru without layers": (
        ["network=gru", "hidden_sizes=[]"],
        "network=gru hidden_sizes=[]: a gru has at least one layer",
    ),
    "an axis name that is taken": (["pmap_axis_name=fsdp"], "Write pmap_axis_name=device."),
    "acting on the host by Warp": (
        ["is_overlapped=true", "mjx_impl=warp"],
        "is_overlapped=true acts on the host's cores, and mjx_impl=warp simulates on the devices.",
        "Write mjx_impl=jax, or is_overlapped=false.",
    ),
    "unknown partitioner": (
        ["partitioner=pmpa"],
        "partitioner=pmpa: must be one of auto, pmap, shard_map.",
        'Did you mean "pmap"?',
    ),
    "unknown synchronisation": (
        ["sync_mode=accumulated"],
        "sync_mode=accumulated: must be one of local_sgd, accumulate.",
    ),
    "discount above 1": (["gamma=1.5"], "gamma=1.5: must be at least 0 and at most 1."),
    "not a number": (["learning_rate=nan"], "learning_rate=nan"),
    "unknown mode": (["run_mode=trian"], "run_mode=trian: must be one of", 'Did you mean "train"?'),
    "unknown network": (["network=mpl"], "network=mpl: must be one of mlp, gru."),
    "num_envs and devices": (
        ["num_envs=10", "batch_size=5", "num_devices=3"],
        "Number of environments (10) must be divisible by number of devices (3)",
        "Write num_envs=12",
    ),
    "batch_size and devices": (
        ["num_envs=12", "batch_size=2", "num_devices=4"],
        "Batch size (2) must be divisible by number of devices (4)",
        "Write batch_size=4",
    ),
    "num_envs and the devices found": (
        ["num_envs=12", "batch_size=4"],
        "Number of environments (12) must be divisible by number of devices (8)",
    ),
    "batch_size and num_envs": (
        ["num_envs=10", "batch_size=8"],
        "Batch size (8) times number of batches (2) must equal number of environments (10)",
        "Write num_envs=16",
        "batch_size=5",
    ),
    "more devices than exist": (
        ["num_envs=18", "batch_size=9", "num_devices=9"],
        "num_devices=9, but there are only 8 cpu device(s). Write num_devices=8",
        "XLA_FLAGS=--xla_force_host_platform_device_count=9",
    ),
    "ctrl_dt and dt": (
        ["dt=0.004", "ctrl_dt=0.01"],
        "ctrl_dt (0.01 s) must be a multiple of dt (0.004 s)",
        "Write ctrl_dt=0.008.",
    ),
    "schedule without an end": (
        ["learning_rate_schedule=linear", "max_steps=null"],
        "learning_rate_schedule=linear needs the length of the run. Write max_steps=1000",
    ),
    "empty run directory": (["run_dir=''"], 'run_dir="" is no path. For none write run_dir=null'),
    "Python's word for no checkpoint": (
        ["load_from_ckpt_path=None"],
        "For none write load_from_ckpt_path=null",
    ),
    "run directory": (["run_dir=/proc/run"], "The run directory /proc/run cannot be written"),
    "checkpoint": (["load_from_ckpt_path=absent"], "No intact checkpoint at absent."),
    "evaluation of nothing": (["run_mode=evaluate"], "run_mode=evaluate needs a checkpoint."),
    "evaluation of nothing, with as many environments as pay": (
        ["run_mode=evaluate", "num_envs=auto"],
        "run_mode=evaluate needs a checkpoint.",
    ),
    "a film of nothing": (["run_mode=render"], "run_mode=render needs a checkpoint."),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options(name, capsys):
    arguments, *phrases = OPTIONS[name]
    assert_refused(CartPoleTask, CartPoleConfig(), arguments, capsys, *phrases)


def test_run_directory_below_a_file(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert_refused(
        CartPoleTask,
        CartPoleConfig(),
        [f"run_dir={tmp_path}/file/run"],
        capsys,
        "cannot be written",
        "it is no directory",
        "run_dir=/tmp/my_run",
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of one iteration."""
    run_dir = tmp_path_factory.mktemp("runs") / "trained"
    small_task(num_devices=2, max_steps=1, run_dir=f"{run_dir}").run()
    return run_dir


@pytest.mark.parametrize(
    ("mode", "argument", "leaf", "reason"),
    [
        (
            "train",  # a policy is evaluated in any number of environments
            "num_envs=8",
            "environments/env_id: expected int32[8], found int32[16]",
            "Only leading axes differ: is it num_envs, 16 then and 8 now?",
        ),
        *(
            (
                mode,
                "hidden_sizes=[32]",
                "/hidden_0/kernel: expected float32[4, 32], found float32[4, 16]",
                "The network sizes, num_envs or the precision differ",
            )
            for mode in ("train", "evaluate")
        ),
        *(
            (
                mode,
                "network=gru",
                "found no such leaf",
                "the task, its engine, the kind of network or the optimizer differs",
            )
            for mode in ("train", "evaluate")
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit(trained, mode, argument, leaf, reason, capsys):
    name, _, _ = argument.partition("=")
    fitting = [other for other in SMALL_ARGUMENTS if not other.startswith(f"{name}=")]
    arguments = [*fitting, argument, f"run_mode={mode}", f"load_from_ckpt_path={trained}"]
    assert_refused(
        CartPoleTask, CartPoleConfig(), arguments, capsys, "does not fit this run", leaf, reason
    )


def test_a_damaged_checkpoint(trained, tmp_path, capsys):
    checkpoint = find_checkpoint(trained).path
    largest = max(checkpoint.rglob("*"), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    kept = largest.read_bytes()
    largest.write_bytes(content)
    try:
        wrong = [*SMALL_ARGUMENTS, f"load_from_ckpt_path={checkpoint}"]
        assert_refused(CartPoleTask, CartPoleConfig(), wrong, capsys, "is damaged in", largest.name)
    finally:
        largest.write_bytes(kept)


class WrongModel(SmallMujocoTask):
    """The MJCF is what the test says."""

    path = "robot.xml"

    def get_mujoco_model(self):
        return ksim.load_mjcf(self.path)


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        (None, ["MJCF file robot.xml does not exist."]),
        ("<mujoco", ["MuJoCo cannot compile robot.xml", "XML parse error"]),
        ("<mujoco><sensor><gyro site='x'/></sensor></mujoco>", ["MuJoCo cannot compile", "'x'"]),
    ],
)
def test_mjcf(text, phrases, capsys):
    if text is not None:
        Path(WrongModel.path).write_text(text)
    before = files_below(Path.cwd())
    with pytest.raises((ValueError, SystemExit)) as stop:
        WrongModel.launch(SmallMujocoConfig(num_devices=1), [])
    output = capsys.readouterr()
    for phrase in phrases:
        assert phrase in f"{stop.value} {output.err}"
    assert "compiling" not in output.out
    assert files_below(Path.cwd()) == before


def term_of_body(model):
    return ksim.UprightReward.create(model, body="torsoo")


def term_of_joint(model):
    return ksim.JointDeviationReward.create(model, joints=("left_kneee",))


def term_of_sensor(model):
    return ksim.GyroObservation.create(model, "imu_gyroo")


def term_of_geom(model):
    return ksim.FrictionRandomizer.create(model, geoms=("floorr",))


def term_of_site(model):
    return ksim.FeetAirTimeReward.create(model, ("left_foott", "right_foot"))


@pytest.mark.parametrize(
    ("term", "guess"),
    [
        (term_of_body, "torso"),
        (term_of_joint, "left_knee"),
        (term_of_sensor, "imu_gyro"),
        (term_of_geom, "floor"),
        (term_of_site, "left_foot"),
    ],
)
def test_a_term_that_names_what_the_model_has_not(term, guess, capsys):
    """It is the user's own line that is wrong: the traceback shows it."""

    class Task(HumanoidWalkingDistributedTask):
        def get_rewards(self, physics_model):
            return [term(physics_model)]

    with pytest.raises(KeyError) as error:
        Task.launch(HumanoidWalkingDistributedConfig(num_devices=1), [])
    message = error.value.args[0]
    assert f"{guess}{guess[-1]}" in message
    assert f'Did you mean "{guess}"?' in message
    assert "compiling" not in capsys.readouterr().out
    assert files_below(Path.cwd()) == []


@pytest.mark.parametrize(
    ("module", "argument", "phrase"),
    [
        ("examples.walking", "num_env=8", 'Did you mean "num_envs"?'),
        ("examples.walking", "ctrl_dt=0.007", "ctrl_dt (0.007 s) must be a multiple of dt"),
        ("examples.walking_distributed", "load_from_ckpt_path=absent", "No intact checkpoint"),
        ("examples.cartpole", "num_devices=3", "must be divisible by number of devices (3)"),
    ],
)
def test_from_the_shell_within_two_seconds(module, argument, phrase, tmp_path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    variables = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    result = subprocess.run(
        [sys.executable, "-m", module, argument],
        env=variables | {"PYTHONPATH": f"{REPOSITORY}"},
        text=True,
        capture_output=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ") and phrase in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []
    # Seconds of its own, so that a busy machine does not count.
    assert after.ru_utime - before.ru_utime < 2
