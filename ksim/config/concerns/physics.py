"""Options of the physics: time steps, engine and solver."""

from dataclasses import dataclass

from ksim.config.config import Config
from ksim.config.option import ConfigError, option

MJX_IMPLEMENTATIONS = ("jax", "warp")
MJX_GRAPH_MODES = ("warp", "warp_staged_ex", "warp_staged")


@dataclass
class PhysicsConfig(Config):
    """Physics."""

    engine: str = option(
        "auto",
        help="Engine of the simulations: native MuJoCo on the host's cores (mujoco), or MJX on the"
        " devices (mjx); auto takes native MuJoCo where the devices are a CPU, and MJX elsewhere.",
        choices=("auto", "mjx", "mujoco"),
    )
    mjx_impl: str = option(
        "jax",
        help="Implementation of MJX: its own in JAX (jax), or MuJoCo Warp (warp), on NVIDIA"
        " GPUs with the extra ksim[warp].",
        choices=MJX_IMPLEMENTATIONS,
    )
    mjx_naconmax: int | None = option(
        None,
        help="With mjx_impl=warp: contacts, and pairs of geoms near each other, that one device"
        " holds of all its environments together; more are lost, with a warning. null is MuJoCo"
        " Warp's rule for the model, times the environments of a device.",
        unit="contacts",
        minimum=1,
    )
    mjx_njmax: int | None = option(
        None,
        help="With mjx_impl=warp: constraint rows that one environment holds (4 for a contact with"
        " condim 3 and a pyramidal cone, 1 for a joint at its limit); more are lost, with a"
        " warning. null is MuJoCo Warp's rule for the model.",
        unit="rows",
        minimum=1,
    )
    mjx_graph_mode: str = option(
        "warp",
        help="With mjx_impl=warp: capture of CUDA graphs: again whenever JAX's buffers lie"
        " elsewhere (warp), or once, for a copy of them on each call (warp_staged_ex, and"
        " warp_staged, which crashes on several GPUs).",
        choices=MJX_GRAPH_MODES,
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
        if self.mjx_impl == "warp" and self.engine == "mujoco":
            raise ConfigError(
                "mjx_impl=warp is an implementation of MJX, and engine=mujoco is native MuJoCo."
                " Write engine=mjx for Warp, or mjx_impl=jax for native MuJoCo."
            )


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
