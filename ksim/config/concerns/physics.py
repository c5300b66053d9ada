"""Time steps and solver of the physics."""

from dataclasses import dataclass

from ksim.config.config import Config
from ksim.config.option import ConfigError, option


@dataclass
class PhysicsConfig(Config):
    """Physics."""

    engine: str = option(
        "auto",
        help="What steps the simulations: native MuJoCo on the host's cores (mujoco), or MJX on the"
        " devices (mjx); auto takes native MuJoCo where the devices are a CPU, and MJX elsewhere.",
        choices=("auto", "mjx", "mujoco"),
    )
    dt: float = option(0.005, help="Physics time step.", unit="s", above=0)
    ctrl_dt: float = option(
        0.02, help="Control time step: a whole number of physics steps.", unit="s", above=0
    )
    iterations: int | None = option(
        None, help="Constraint solver iterations; null keeps the model's.", minimum=1
    )
    ls_iterations: int | None = option(
        None, help="Line-search iterations of the solver; null keeps the model's.", minimum=1
    )

    def validate(self) -> None:
        """See `Config.validate`."""
        super().validate()
        count_substeps(self.dt, self.ctrl_dt)


def count_substeps(dt: float, ctrl_dt: float) -> int:
    """Returns the number of physics steps in a control step.

    Args:
      dt: physics time step, s.
      ctrl_dt: control time step, s.

    Raises:
      ConfigError: if `ctrl_dt` is not a whole multiple of `dt`.
    """
    num_substeps = round(ctrl_dt / dt)
    if num_substeps < 1 or abs(num_substeps * dt - ctrl_dt) > 1e-6 * ctrl_dt:
        nearest = max(1, num_substeps) * dt
        raise ConfigError(
            f"ctrl_dt ({ctrl_dt:g} s) must be a multiple of dt ({dt:g} s), because a control step"
            f" is a whole number of physics steps. Write ctrl_dt={nearest:.6g}."
        )
    return num_substeps
