"""Trains a humanoid to walk as it is told, examines its walk and films it.

    python -m examples.walk
    python -m examples.walk seed=1 run_dir=runs/walk_1

This is what `make walk` runs. The run's directory then holds the policy, the picture of its
learning (`curves.png`), the examination (`walk.json`) and the film (`videos/walk.mp4`, `walk.gif`).
A run that was stopped is continued by naming its `run_dir`; one that is finished is only examined
and filmed.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ksim
from examples.walking import COMMAND_RATE
from examples.walking_distributed import (
    HumanoidWalkingDistributedConfig,
    HumanoidWalkingDistributedTask,
)

SMALL_FILM = {
    "video_width": 320,
    "video_height": 240,
    "video_seconds": 5.0,
    "video_frames_per_second": 12.5,
}
ON_ONE_DEVICE: dict[str, Any] = {"num_devices": 1, "fsdp_devices": 1, "partitioner": "auto"}
EXAMINED_OBSERVATION = "base_linear_velocity"


@dataclass
class WalkConfig(HumanoidWalkingDistributedConfig):
    """The examination of a walk."""

    exam_episodes: int = ksim.option(
        100, help="Episodes that the policy is examined in.", unit="episodes", minimum=1
    )
    exam_seconds: float = ksim.option(10.0, help="Length of each.", unit="s", above=0)
    exam_velocity: float = ksim.option(
        1.0, help="Forward velocity that is commanded.", unit="m/s", minimum=0
    )
    exam_push: float = ksim.option(
        0.3, help="Largest sudden change of velocity by a push.", unit="m/s", above=0
    )
    exam_tolerance: float = ksim.option(
        0.2, help="Largest deviation of the mean velocity from it.", unit="m/s", above=0
    )


class ExamTask(HumanoidWalkingDistributedTask):
    """Gives one command; starts, robots and pushes vary as in training, at full strength."""

    config: WalkConfig

    def get_commands(self, physics_model: ksim.PhysicsModel) -> dict[str, ksim.Command]:
        """Returns the command to walk straight ahead, from the first moment to the last."""
        velocity = self.config.exam_velocity
        return {
            "linear_velocity": ksim.LinearVelocityCommand.create(
                physics_model,
                x_range=(velocity, velocity),
                y_range=(0.0, 0.0),
                zero_probability=0.0,
                max_rate=COMMAND_RATE,
            ),
            "angular_velocity": ksim.AngularVelocityCommand.create(
                physics_model, yaw_range=(0.0, 0.0), zero_probability=0.0
            ),
        }

    def get_events(self, physics_model: ksim.PhysicsModel) -> dict[str, ksim.Event]:
        """Returns a push every few seconds, at any level."""
        return {"push": ksim.PushEvent.create(physics_model, max_speed=self.config.exam_push)}

    def get_partitioner(self) -> ksim.Partitioner:
        """Returns one device: each process examines the same, and process 0 reports it."""
        import jax

        return ksim.SingleDevice(jax.local_devices()[0])


def examine(config: WalkConfig, run: Path) -> dict[str, float]:
    """Returns the results of the run's policy; a walk passes if it neither fell nor strayed."""
    exam = dataclasses.replace(
        config,
        **ON_ONE_DEVICE,
        num_envs=config.exam_episodes,
        batch_size=config.exam_episodes,
        eval_length_seconds=config.exam_seconds,
        episode_seconds=2 * config.exam_seconds,  # the end of the time is no fall
        load_from_ckpt_path=str(run),
        run_dir=None,
        seed=config.seed + 1000,
    )
    episodes = ExamTask(exam).evaluate_episodes([EXAMINED_OBSERVATION])
    num_steps = round(config.exam_seconds / episodes.ctrl_dt)
    velocity = episodes.mean(episodes.observations[EXAMINED_OBSERVATION])[:, 0]
    has_stood = episodes.length >= num_steps
    has_followed = abs(velocity - config.exam_velocity) <= config.exam_tolerance
    return {
        "episodes": len(velocity),
        "passed": int((has_stood & has_followed).sum()),
        "fallen": int((~has_stood).sum()),
        "commanded_velocity": config.exam_velocity,
        "mean_velocity": round(float(velocity.mean()), 3),
        "lowest_velocity": round(float(velocity.min()), 3),
        "highest_velocity": round(float(velocity.max()), 3),
    }


def film(config: WalkConfig, run: Path, name: str, **options: Any) -> None:
    """Films the examination; a machine that cannot draw loses the film and nothing else."""
    from ksim.render.watching import film_checkpoint

    exam = dataclasses.replace(
        config,
        run_mode="render",
        **ON_ONE_DEVICE,
        load_from_ckpt_path=str(run),
        run_dir=None,
        video_path=str(run / "videos" / name),
        **options,
    )
    task = ExamTask(exam)
    try:
        # Not `run`: with several processes that would tell the others of an error, and end them.
        film_checkpoint(task.build(), task.config, task.start)
    except ksim.ConfigError as error:
        if task.processes.is_main:
            print(f"No film: {error}", file=sys.stderr)


class WalkTask(HumanoidWalkingDistributedTask):
    """Trains, then examines the policy and films it."""

    config: WalkConfig

    def run(self) -> Any:
        """Returns the examination, or with another `run_mode` than train the result of that."""
        from ksim.render.curves import draw_curves

        result = super().run()
        if not isinstance(result, ksim.RunResult):
            return result
        config = self.config
        report = examine(config, result.path)
        if self.processes.is_main:
            (result.path / "walk.json").write_text(json.dumps(report, indent=2) + "\n")
            print(json.dumps(report, indent=2))
            print(f"The curves are {draw_curves([result.path], result.path / 'curves.png')}")
        film(config, result.path, "walk.mp4")
        film(config, result.path, "walk.gif", **SMALL_FILM)
        return report


if __name__ == "__main__":
    WalkTask.launch(WalkConfig())
