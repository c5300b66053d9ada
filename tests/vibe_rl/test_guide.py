"""Runs the guide that users of vibe-rl know, with `ksim.vibe_rl` in place of `vibe_rl`."""

import dataclasses
import inspect
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ksim
import ksim.vibe_rl.sharding
from ksim.vibe_rl.runner import RunnerConfig, device_utils, train_ppo_multigpu
from tests.small_cartpole import numbers

GUIDE = (Path(__file__).parent / "guide.md").read_text(encoding="utf-8")
FENCED = re.compile(r"^# ([^\n]*)\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = {
    title: source.replace("vibe_rl", "ksim.vibe_rl") for title, source in FENCED.findall(GUIDE)
}
NUM_DEVICES = 8

# What stands around the blocks that are no programs by themselves.
SMALL_RUN = """
from ksim.vibe_rl.algorithms.ppo import PPO, PPOConfig
from ksim.vibe_rl.env import make
from ksim.vibe_rl.runner import RunnerConfig, train_ppo_multigpu

env, env_params = make("CartPole-v1")
ppo_config = PPOConfig(n_steps=16, hidden_sizes=(16, 16))
"""
SMALL_STATE = f"""{SMALL_RUN}
import jax

train_state, _ = train_ppo_multigpu(
    env, env_params, ppo_config=ppo_config, runner_config=RunnerConfig(512, num_envs=4)
)
"""
SURROUNDINGS = {
    "A mesh for a while": """
import jax
from ksim.vibe_rl.sharding import data_sharding as in_shardings, replicate_sharding as out_shardings

def fn(data):
    return data.sum()

data = jax.numpy.arange(16.0)
""",
    "Shardings of data": BLOCKS["Meshes"],
    "Shardings of parameters": f"""{BLOCKS["Meshes"]}
import jax

mesh = make_mesh(num_fsdp_devices=4)
params_abstract = jax.eval_shape(lambda: {{"kernel": jax.numpy.zeros((512, 2048))}})
""",
    "Sharing parameters": "from ksim.vibe_rl.runner import RunnerConfig",
    "Counting devices": BLOCKS["Device utilities"],
    "Copies": f"""{BLOCKS["Device utilities"]}
import jax.numpy as jnp

state = {{"kernel": jnp.arange(10.0).reshape(2, 5)}}
""",
    "Arrays on a mesh": f"""{BLOCKS["Device utilities"]}
import jax.numpy as jnp

batch, params = {{"x": jnp.arange(32.0).reshape(16, 2)}}, {{"kernel": jnp.ones((2, 3))}}
""",
    "Keys": f"""{BLOCKS["Device utilities"]}
import jax

rng = jax.random.PRNGKey(0)
""",
    "The signature": """
from ksim.vibe_rl.algorithms.ppo import PPOConfig
from ksim.vibe_rl.env import Environment, EnvParams
from ksim.vibe_rl.runner import PPOMetricsHistory, PPOTrainState, RunnerConfig
""",
    "A loop of one's own": """
import jax
import jax.numpy as jnp
from ksim.vibe_rl.sharding import data_sharding, make_mesh, replicate_sharding

mesh = make_mesh()
train_state_shardings = {"params": replicate_sharding(mesh), "obs": data_sharding(mesh)}
metrics_shardings = replicate_sharding(mesh)

def _train_loop(state):
    loss = lambda params: jnp.mean((state["obs"] @ params) ** 2)
    value, gradient = jax.value_and_grad(loss)(state["params"])
    return state | {"params": state["params"] - 0.1 * gradient}, value
""",
    "Checkpoints": SMALL_STATE,
    "Checkpoints of copies": f"""{SMALL_STATE}
from ksim.vibe_rl.checkpoint import load_checkpoint, save_checkpoint
from ksim.vibe_rl.runner.device_utils import replicate

template = train_state.agent_state
train_state = replicate(train_state.agent_state, n_devices=4)
""",
    "Some simulated devices": SMALL_RUN,
}


def run_block(title):
    """Runs a block, after what stands around it; returns the names that it leaves behind."""
    names = {"__name__": "guide"}
    for source in (SURROUNDINGS.get(title, ""), BLOCKS[title]):
        # The guide shows a signature without a body.
        source += "    ...\n" if source.rstrip().endswith(":") else ""
        exec(compile(source, f"vibe guide, {title}", "exec", dont_inherit=True), names)
    return names


def check_quick_start(train_state, metrics, **_):
    # 8 devices * 4 environments * 16 steps = 512 steps in an update; 1,200 // 512 = 2.
    for name in ("total_loss", "actor_loss", "critic_loss", "entropy", "approx_kl"):
        values = getattr(metrics, name)
        assert values.shape == (2,) and np.all(np.isfinite(values))
    assert train_state.obs.shape == (NUM_DEVICES * 4, 4)
    assert train_state.agent_state.params["actor"]["hidden_1"]["kernel"].shape == (16, 16)


def check_meshes(mesh, **_):
    assert dict(mesh.shape) == {"batch": 4, "fsdp": 1}


def check_a_mesh_for_a_while(result, mesh, **_):
    assert result == 120.0  # 0 + 1 + ... + 15
    assert result.sharding.mesh == mesh


def check_shardings_of_data(data_spec, param_spec, **_):
    assert tuple(data_spec.spec) == (("batch", "fsdp"),)
    assert tuple(param_spec.spec) == ()


def check_shardings_of_parameters(param_shardings, **_):
    assert tuple(param_shardings["kernel"].spec) == (None, "fsdp")


def check_parameters_of_several_sizes(shardings, **_):
    specs = {name: tuple(sharding.spec) for name, sharding in shardings.items()}
    assert specs == {"small_weight": (), "bias": (), "large_weight": ("fsdp", None)}


def check_sharing_parameters(runner_config, **_):
    runner_config.validate()
    assert runner_config.fsdp_devices == 2


def check_counting_devices(n, get_num_devices, **_):
    assert (get_num_devices(), n) == (NUM_DEVICES, 4)
    with pytest.raises(ValueError, match="there are 8 local device"):
        get_num_devices(9)


def check_copies(state, replicated, single, **_):
    assert replicated["kernel"].shape == (4, 2, 5)
    np.testing.assert_array_equal(single["kernel"], state["kernel"])


def check_arrays_on_a_mesh(sharded_data, replicated_params, **_):
    assert sharded_data["x"].addressable_shards[0].data.shape == (16 // NUM_DEVICES, 2)
    assert replicated_params["kernel"].is_fully_replicated


def check_keys(device_keys, **_):
    assert device_keys.shape == (4, 2)
    assert len(np.unique(device_keys, axis=0)) == 4


def check_the_signature(**names):
    found = inspect.signature(train_ppo_multigpu).parameters
    expected = inspect.signature(names["train_ppo_multigpu"]).parameters
    assert [(p.name, p.kind) for p in found.values()] == [
        (p.name, p.kind) for p in expected.values()
    ]


def check_a_loop_of_ones_own(jitted_train, train_state_shardings, **_):
    state = {"params": jnp.ones(2), "obs": jnp.ones((16, 2))}
    # loss = mean(2^2) = 4; its gradient is 2 * 2 * (1, 1), so params = 1 - 0.1 * 4 = 0.6.
    state, loss = jitted_train(jax.device_put(state, train_state_shardings))
    np.testing.assert_allclose(state["params"], [0.6, 0.6], rtol=1e-6)
    assert loss == 4.0


def assert_identical(found, expected):
    found, expected = numbers(found), numbers(expected)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


def check_checkpoints(loaded, train_state, template, **_):
    assert_identical(loaded, train_state.agent_state)
    kernels = [one.params["critic"]["output"]["kernel"] for one in (loaded, template)]
    assert np.any(kernels[0] != kernels[1])


def check_checkpoints_of_copies(loaded, train_state, **_):
    assert_identical(loaded, train_state)


def check_some_simulated_devices(history, train_state, **_):
    # 2 devices * 2 environments * 16 steps = 64.
    assert history.total_loss.shape == (1,)
    assert train_state.obs.shape == (4, 4)


def check_everything(train_state, metrics, get_num_devices, **_):
    check_quick_start(train_state, metrics)
    assert get_num_devices() == NUM_DEVICES
    assert Path("checkpoints/everything/step_00000000").is_dir()


@pytest.mark.parametrize("title", BLOCKS)
def test_block(title):
    names = run_block(title)
    check = "check_" + re.sub(r"\W+", "_", title.replace("'", "").lower())
    globals().get(check, lambda **_: None)(**{k: v for k, v in names.items() if k[:2] != "__"})


def test_every_check_belongs_to_a_block():
    titles = {re.sub(r"\W+", "_", title.replace("'", "").lower()) for title in BLOCKS}
    checks = {name.removeprefix("check_") for name in globals() if name.startswith("check_")}
    assert checks <= titles
    assert len(BLOCKS) == 19
    assert SURROUNDINGS.keys() <= BLOCKS.keys()


def test_tables():
    """The names and defaults that the guide's tables give."""
    defaults = {field.name: field.default for field in dataclasses.fields(RunnerConfig)}
    assert (defaults["num_devices"], defaults["num_envs"], defaults["fsdp_devices"]) == (None, 1, 1)
    expected = {
        ksim.vibe_rl.sharding.make_mesh: ["num_fsdp_devices", "num_devices"],
        ksim.vibe_rl.sharding.set_mesh: ["num_fsdp_devices", "num_devices"],
        ksim.vibe_rl.sharding.data_sharding: ["mesh"],
        ksim.vibe_rl.sharding.replicate_sharding: ["mesh"],
        ksim.vibe_rl.sharding.fsdp_sharding: ["pytree", "mesh", "min_size_mbytes"],
        ksim.vibe_rl.sharding.activation_sharding_constraint: ["x", "mesh"],
        device_utils.get_num_devices: ["requested"],
        device_utils.replicate: ["pytree", "n_devices"],
        device_utils.unreplicate: ["pytree"],
        device_utils.split_key_across_devices: ["rng", "n_devices"],
        device_utils.shard_pytree: ["pytree", "mesh"],
        device_utils.replicate_on_mesh: ["pytree", "mesh"],
    }
    for function, names in expected.items():
        assert list(inspect.signature(function).parameters) == names


def test_less_than_one_update_is_an_error():
    names = run_block("Some simulated devices")
    with pytest.raises(ValueError, match="total_timesteps=63 is less than one update"):
        ksim.train_ppo(
            names["env"],
            ppo_config=names["ppo_config"],
            runner_config=RunnerConfig(63, num_devices=2, num_envs=2),
        )
