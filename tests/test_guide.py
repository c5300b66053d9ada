"""The blocks of the distributed training guide that users know: names, defaults, messages."""

import dataclasses
import functools
import importlib
import logging
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import PRNGKeyArray

import ksim
import ksim.rl
import ksim.task
from examples.walking import HumanoidWalkingConfig, HumanoidWalkingTask
from examples.walking_distributed import (
    HumanoidWalkingDistributedConfig,
    HumanoidWalkingDistributedTask,
)
from ksim import EnvState, Model
from ksim.config import parse_command_line
from ksim.task import DistributedPPOTask, PPOTask
from tests.guide_names import (
    GaussianPolicy,
    MyConfig,
    MyCustomReward,
    MyDistributedConfig,
    MyModel,
    PoleModel,
    PoleTask,
)
from tests.small_cartpole import SMALL, numbers
from tests.small_mujoco_task import SmallMujocoConfig, SmallMujocoTask

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def only_device(monkeypatch):
    """A machine with one device."""
    device = jax.devices()[0]
    monkeypatch.setattr(jax, "local_devices", lambda: [device])


# Names and defaults.


def test_core_components():
    distributed_rl = importlib.import_module("ksim.task.distributed_rl")
    distributed_ppo = importlib.import_module("ksim.task.distributed_ppo")
    config, task = distributed_rl.DistributedRLConfig, distributed_rl.DistributedRLTask
    assert issubclass(distributed_ppo.DistributedPPOTask, task)
    assert issubclass(distributed_ppo.DistributedPPOTask, PPOTask)
    assert issubclass(distributed_ppo.DistributedPPOConfig, config)
    for path in ("ksim/task/distributed_rl.py", "ksim/task/distributed_ppo.py"):
        assert (REPOSITORY / path).is_file()
    assert (REPOSITORY / "examples/walking_distributed.py").is_file()
    for name in ("DistributedPPOTask", "DistributedPPOConfig", "DistributedRLTask"):
        assert getattr(ksim.task, name) is getattr(ksim, name)


def test_defaults():
    defaults = {
        field.name: field.default
        for field in dataclasses.fields(ksim.task.DistributedRLConfig)
        if field.name in ("pmap_axis_name", "grad_sync_period")
    }
    assert defaults == {"pmap_axis_name": "device", "grad_sync_period": 1}


@pytest.mark.parametrize(
    ("num_envs", "num_devices", "lines"),
    [
        (16, 2, ["Device 0: environments 0-7", "Device 1: environments 8-15"]),
        (
            32,
            4,
            [
                "Device 0: environments 0-7",
                "Device 1: environments 8-15",
                "Device 2: environments 16-23",
                "Device 3: environments 24-31",
            ],
        ),
    ],
)
def test_environment_distribution(num_envs, num_devices, lines, capsys):
    config = HumanoidWalkingDistributedConfig(
        num_envs=num_envs, batch_size=num_devices, num_devices=num_devices
    )
    HumanoidWalkingDistributedTask(config).verify_distributed_setup()
    shown = capsys.readouterr().out.splitlines()
    assert [line for line in shown if line.startswith(("Total", "Device"))] == [
        f"Total environments: {num_envs}",
        *lines,
    ]


def test_device_specific_environment_counts():
    config = HumanoidWalkingDistributedConfig(num_envs=64, batch_size=32)

    device_count = jax.local_device_count()
    envs_per_device = config.num_envs // device_count

    task = HumanoidWalkingDistributedTask(config)
    sharded = task.shard_environments(np.arange(config.num_envs))
    assert sharded.shape == (device_count, envs_per_device)
    replicated = task.replicate_state(np.float32(3))
    np.testing.assert_array_equal(replicated, np.full(device_count, 3))


# Tasks of one's own.


def moved(before, after):
    """Whether training has changed the parameters."""
    before, after = numbers(before), numbers(after)
    assert before.keys() == after.keys()
    return any(np.any(after[name] != value) for name, value in before.items())


def test_a_distributed_task(tmp_path):
    from ksim.task import DistributedPPOConfig, DistributedPPOTask

    class MyDistributedTask(DistributedPPOTask[MyConfig]):
        # Implement required abstract methods
        def get_environment(self):
            return ksim.CartPole()

    task = MyDistributedTask(MyConfig())
    assert isinstance(task.config, DistributedPPOConfig)
    result = task.run_distributed_training()
    assert result.path == Path("runs/my_distributed/run_000")
    assert moved(task._get_initial_model(jax.random.key(0)), result.train_state.learner.model)


def test_required_methods():
    calls = []

    class MyDistributedTask(PoleTask):
        def _get_initial_model(self, rng: PRNGKeyArray) -> Model:
            """Create and return the initial model."""
            calls.append("model")
            return PoleModel(rng)

        def _get_initial_env_state(self, rng: PRNGKeyArray) -> EnvState:
            """Create and return initial environment state."""
            calls.append("env_state")
            return ksim.rl.initial_env_state(self.environment, (), self.config.num_envs)

        def _rollout(self, model, env_state, model_carry, rng):
            """Implement rollout logic."""
            calls.append("rollout")
            trajectory, *others = ksim.rl.rollout(
                self.environment, model, env_state, model_carry, rng, num_steps=16
            )
            # A reward of its own shows that this rollout is the one that is learnt from.
            rewards = jnp.where(trajectory.is_valid, 3.0, 0.0)
            return dataclasses.replace(trajectory, reward=rewards), *others

    result = MyDistributedTask(MyConfig(max_steps=1)).run_distributed_training()
    assert set(calls) == {"model", "env_state", "rollout"}
    assert isinstance(result.train_state.learner.model, PoleModel)
    # The critic begins at 0 and nearly stays there in one iteration, so with gamma = 0.99 and
    # lam = 0.95 the targets are at least the reward: the loss is above 1/2 * 3^2.
    assert result.metrics["loss/value"] > 4.5


def test_task_specific_configuration():
    assert MyDistributedConfig().my_param == 1.0
    config = parse_command_line(MyDistributedConfig(), ["my_param=2.5"])
    assert config.my_param == 2.5
    assert PoleTask(config).config.my_param == 2.5


def test_custom_gradient_synchronization_period():
    config = MyDistributedConfig(
        grad_sync_period=4,  # Sync every 4 updates for reduced communication
    )

    result = PoleTask(config).run_distributed_training()
    # 2 minibatches * 2 passes are 4 updates: replicas drift in three and meet in the fourth.
    assert result.metrics["device/replica_drift"] > 0
    assert result.metrics["device/is_identical"] == 1


def test_custom_task_implementation():
    class MyDistributedTask(SmallMujocoTask):
        def get_rewards(self, physics_model):
            return [MyCustomReward()]

        def _get_initial_model(self, rng):
            return MyModel(rng)

    config = SmallMujocoConfig(num_devices=2, num_envs=4, batch_size=2, max_steps=1)
    task = MyDistributedTask(config)
    with jax.numpy_rank_promotion("allow"):  # MJX broadcasts
        result = task.run_distributed_training()
    assert 0 < result.metrics["reward/my_custom"] < 0.01
    assert isinstance(result.train_state.learner.model, GaussianPolicy)


def test_custom_communication_patterns():
    traced = []

    class CustomDistributedTask(DistributedPPOTask):
        @functools.partial(jax.pmap, axis_name="device")
        def custom_gradient_sync(self, grads):
            # Custom synchronization logic
            traced.append(jax.tree.leaves(grads)[0])
            return jax.lax.pmean(grads, axis_name="device")

    class Task(CustomDistributedTask):
        def get_environment(self):
            return ksim.CartPole()

    custom = Task(MyConfig(max_steps=1)).run_distributed_training()
    # It was traced within the update: one device's gradients, without a device axis.
    assert [leaf.shape for leaf in traced] == [(SMALL["hidden_sizes"][0],)]
    plain = PoleTask(MyConfig(max_steps=1)).run_distributed_training()
    assert not moved(custom.train_state, plain.train_state)


def test_integration_with_existing_code():
    config = HumanoidWalkingConfig()
    distributed_config = HumanoidWalkingDistributedConfig()

    # Original code
    task = HumanoidWalkingTask(config)
    original = task

    # Distributed code
    task = HumanoidWalkingDistributedTask(distributed_config)

    assert isinstance(task, HumanoidWalkingTask)
    assert {name for name in dir(original) if not name.startswith("__")} <= set(dir(task))
    for field in dataclasses.fields(config):
        assert getattr(distributed_config, field.name) == getattr(config, field.name)


def test_checkpoints_are_compatible_between_single_and_distributed_training(tmp_path):
    class SingleTask(PPOTask[MyConfig]):
        def get_environment(self):
            return ksim.CartPole()

    def train(task_class, name, **changes):
        config = MyConfig(run_dir=f"{tmp_path}/{name}", **changes)
        return task_class(config).run()

    straight = train(PoleTask, "straight", max_steps=3)
    train(SingleTask, "single", max_steps=1)
    train(PoleTask, "several", max_steps=2, load_from_ckpt_path=f"{tmp_path}/single")
    last = train(SingleTask, "last", max_steps=3, load_from_ckpt_path=f"{tmp_path}/several")
    expected = numbers(straight.train_state)
    for name, value in numbers(last.train_state).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=2e-6, err_msg=name)


# Monitoring and trouble.


def test_benchmarking():
    task = PoleTask(MyConfig(max_steps=1))

    # Monitor training metrics
    task.verify_distributed_setup()  # Shows device/environment distribution
    # Training automatically logs per-device metrics

    metrics = task.run_distributed_training().metrics
    assert {"device/0/reward", "device/1/reward"} <= metrics.keys()


def test_number_of_environments_not_divisible_by_devices():
    with pytest.raises(ValueError) as error:
        MyDistributedTask = PoleTask
        config = MyDistributedConfig(num_envs=10, batch_size=5, num_devices=3)
        MyDistributedTask(config).verify_distributed_setup()
    expected = "Number of environments (10) must be divisible by number of devices (3)"
    assert str(error.value).startswith(expected)


def test_batch_size_configuration_invalid():
    with pytest.raises(ValueError) as error:
        PoleTask(MyDistributedConfig(num_envs=10, batch_size=8))
    expected = "Batch size (8) times number of batches (2) must equal number of environments (10)"
    assert str(error.value).startswith(expected)


def test_debug_mode(caplog):
    caplog.set_level(logging.DEBUG)  # logging.basicConfig(level=logging.DEBUG)
    MyDistributedTask, config = PoleTask, MyDistributedConfig()

    task = MyDistributedTask(config)
    task.verify_distributed_setup()  # Shows detailed setup information

    records = [record for record in caplog.records if record.name.startswith("ksim.task")]
    assert [record.levelno for record in records] == [logging.DEBUG] * 2
    assert "TFRT_CPU_1" in records[1].getMessage() or "cpu:1" in records[1].getMessage().lower()


def test_single_device_fallback_is_a_warning(only_device, caplog):
    PoleTask(MyConfig(num_devices=None)).verify_distributed_setup()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "Only 1 device detected. Distributed training will fall back to single-device mode."
    )
