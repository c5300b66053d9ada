"""The walking humanoid on several devices: the same task, another base class.

python -m examples.walking_distributed num_devices=2
"""

from __future__ import annotations

from dataclasses import dataclass

import ksim
from examples.walking import HumanoidWalkingConfig, HumanoidWalkingTask


@dataclass
class HumanoidWalkingDistributedConfig(ksim.DistributedPPOConfig, HumanoidWalkingConfig):
    """Options of the walking humanoid on several devices."""


class HumanoidWalkingDistributedTask(
    ksim.DistributedPPOTask[HumanoidWalkingDistributedConfig], HumanoidWalkingTask
):
    """`HumanoidWalkingTask`, environments split over the devices."""


if __name__ == "__main__":
    HumanoidWalkingDistributedTask.launch(HumanoidWalkingDistributedConfig())
