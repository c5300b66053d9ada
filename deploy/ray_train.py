"""Trains on a Ray cluster, with Ray Train 2.49 or newer.

    RAY_TRAIN_V2_ENABLED=1 python deploy/ray_train.py --num-workers 2 --gpus-per-worker 8 \
        --run-dir /shared/runs/walking max_steps=1000

Ray places the workers and starts all of them again if one fails; they continue from the last
checkpoint in the run directory, which must lie on a file system that all of them see. Between the
workers ksim and JAX talk to each other; Ray takes no part in it.
"""

import argparse
import os
import socket
from typing import Any


def train_on_worker(config: dict[str, Any]) -> None:
    """Trains in one worker; Ray calls it in all of them."""
    import ray.train
    import ray.util
    from ray.train.collective import broadcast_from_rank_zero

    context = ray.train.get_context()
    # Every worker names a free address of its own; that of worker 0 is the one that counts.
    host = ray.util.get_node_ip_address()
    with socket.create_server((host, 0)) as probe:
        address = f"{host}:{probe.getsockname()[1]}"
    os.environ["KSIM_COORDINATOR_ADDRESS"] = broadcast_from_rank_zero(address)
    os.environ["KSIM_NUM_PROCESSES"] = str(context.get_world_size())
    os.environ["KSIM_PROCESS_ID"] = str(context.get_world_rank())

    from examples.walking_distributed import (
        HumanoidWalkingDistributedConfig,
        HumanoidWalkingDistributedTask,
    )

    HumanoidWalkingDistributedTask.launch(HumanoidWalkingDistributedConfig(), config["arguments"])


def main() -> None:
    """Reads the command line and hands the training to Ray."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-workers", type=int, required=True)
    parser.add_argument("--gpus-per-worker", type=int, default=0)
    parser.add_argument("--run-dir", required=True)
    parser.add_argument("--max-failures", type=int, default=3)
    parser.add_argument("arguments", nargs="*", metavar="option=value")
    parsed = parser.parse_args()

    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    DataParallelTrainer(
        train_on_worker,
        train_loop_config={"arguments": [*parsed.arguments, f"run_dir={parsed.run_dir}"]},
        scaling_config=ScalingConfig(
            num_workers=parsed.num_workers,
            use_gpu=parsed.gpus_per_worker > 0,
            resources_per_worker={"CPU": 1, "GPU": parsed.gpus_per_worker},
        ),
        run_config=RunConfig(failure_config=FailureConfig(max_failures=parsed.max_failures)),
    ).fit()


if __name__ == "__main__":
    main()
