"""Measures the limit of native physics: a bare loop over `mujoco.batch`, without JAX or a policy.

    python -m benchmarks.native_loop

Steps the model of the walking task, with its servos, from its standing pose with random targets,
all simulations by all cores, and prints one JSON object.
"""

from __future__ import annotations

import json
import statistics
import time

import mujoco
import numpy as np
from mujoco import batch as mujoco_batch

from examples.walking import HumanoidWalkingConfig, HumanoidWalkingTask
from ksim import MujocoEnvironment
from ksim.xla.threads import usable_cores

NUM_SIMULATIONS = 128
STEPS_OF_A_ROLLOUT = 20
NUM_ROLLOUTS = 30
NUM_UNMEASURED = 3


def measure() -> dict[str, float]:
    """Returns control steps of all simulations in a second."""
    environment = HumanoidWalkingTask(HumanoidWalkingConfig()).environment
    assert isinstance(environment, MujocoEnvironment)
    model = environment.model
    mj_model = model.mj_model
    standing = mj_model.key_qpos[0]
    generator = np.random.default_rng(0)
    batch = mujoco_batch.Batch(mj_model, NUM_SIMULATIONS, len(usable_cores()))
    everyone = np.arange(NUM_SIMULATIONS)
    stage = int(mujoco.mjtStage.mjSTAGE_VEL)
    targets = standing[mj_model.jnt_qposadr[mj_model.actuator_trnid[:, 0]]]
    seconds = []
    for _ in range(NUM_ROLLOUTS):
        batch.bind("qpos")[...] = standing
        batch.bind("qvel")[...] = 0
        offsets = generator.normal(0, 0.05, (STEPS_OF_A_ROLLOUT, NUM_SIMULATIONS, mj_model.nu))
        began = time.perf_counter()
        for offset in offsets:
            batch.bind("ctrl")[...] = targets + offset
            batch.step(everyone, model.num_substeps, stage)
        seconds.append(time.perf_counter() - began)
    steps = STEPS_OF_A_ROLLOUT * NUM_SIMULATIONS
    return {"env_steps_per_second": steps / statistics.median(seconds[NUM_UNMEASURED:])}


if __name__ == "__main__":
    print(json.dumps(measure()))
