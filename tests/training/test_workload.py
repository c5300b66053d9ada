"""What a run says of its iterations."""

import jax

from ksim.parallel import Traffic
from ksim.parallel.processes import SingleProcess
from ksim.training.workload import Workload
from tests.small_cartpole import small_task


def test_a_run_says_what_its_iterations_do(tmp_path):
    task = small_task(
        num_devices=2, max_steps=1, run_dir=str(tmp_path / "run"), grad_compression="int8"
    )
    task.run()
    load = Workload.load(tmp_path / "run")
    assert load == Workload.of(task.build(), SingleProcess())
    config = task.config
    assert (load.platform, load.num_devices, load.num_processes) == ("cpu", 2, 1)
    assert load.devices_on_host == 2
    assert load.cores_on_host >= 1
    assert load.num_envs == config.num_envs
    steps = load.num_envs * load.rollout_length
    assert load.num_samples == config.num_passes * steps
    assert isinstance(load.traffic, Traffic)
    parameters = jax.tree.leaves(task.build().initial_train_state(0).learner.model)
    assert load.traffic.sizes == tuple(leaf.size for leaf in parameters)
    assert load.traffic.compression == "int8"
    assert load.collectives.latency_seconds > 0
