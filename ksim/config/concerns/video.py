"""Options of films."""

from dataclasses import dataclass
from pathlib import PurePath

from ksim.config.concerns.run import TrainingConfig
from ksim.config.config import Config
from ksim.config.option import ConfigError, option

VIDEO_FORMATS = (".mp4", ".gif")


@dataclass
class VideoConfig(Config):
    """Films (run_mode=render)."""

    video_path: str | None = option(
        None,
        help="The film to write, .mp4 or .gif; null is videos/step_N.mp4 in the checkpoint's run.",
    )
    video_seconds: float = option(10.0, help="Length of a film.", unit="s", above=0)
    video_width: int = option(640, help="Width of a film.", unit="pixels", minimum=16)
    video_height: int = option(480, help="Height of a film.", unit="pixels", minimum=16)
    video_frames_per_second: float | None = option(
        None, help="Frames in a second; null is 50, and 25 for a .gif.", unit="1/s", above=0
    )
    video_camera: str | None = option(
        None, help="Name of a camera of the model; null follows the robot."
    )

    def validate(self) -> None:
        """See `Config.validate`."""
        super().validate()
        if self.video_path is not None and PurePath(self.video_path).suffix not in VIDEO_FORMATS:
            raise ConfigError(
                f"video_path={self.video_path}: a film is an .mp4 or a .gif."
                f" Write video_path={PurePath(self.video_path).with_suffix('.mp4')}."
            )
        for name in ("video_width", "video_height"):
            value = getattr(self, name)
            if value % 2:
                raise ConfigError(f"{name}={value} must be even. Write {name}={value + 1}.")

    def frames_per_second(self) -> float:
        """Returns the frames in a second: the option, or what suits the format."""
        if self.video_frames_per_second is not None:
            return self.video_frames_per_second
        return 25.0 if (self.video_path or "").endswith(".gif") else 50.0


@dataclass
class WatchedRunConfig(VideoConfig, TrainingConfig):
    """Options of a run whose policy can be watched."""
