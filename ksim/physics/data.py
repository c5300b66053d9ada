"""What terms may read of the physics."""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float


@runtime_checkable
class PhysicsData(Protocol):
    """The state of one simulation: the fields of MuJoCo's `mjData`, by their MuJoCo names.

    Position- and velocity-dependent fields are current when a term reads them. Fields of the
    acceleration stage (`actuator_force`, `qfrc_actuator`, touch and accelerometer values in
    `sensordata`) tell of the last substep, and are zero right after a reset. Units are MuJoCo's:
    metres, radians, seconds, newtons.
    """

    time: Float[Array, ""]
    qpos: Float[Array, "nq"]
    qvel: Float[Array, "nv"]
    ctrl: Float[Array, "nu"]
    xpos: Float[Array, "nbody 3"]
    xquat: Float[Array, "nbody 4"]
    xmat: Float[Array, "nbody 3 3"]
    xipos: Float[Array, "nbody 3"]
    ximat: Float[Array, "nbody 3 3"]
    geom_xpos: Float[Array, "ngeom 3"]
    site_xpos: Float[Array, "nsite 3"]
    site_xmat: Float[Array, "nsite 3 3"]
    subtree_com: Float[Array, "nbody 3"]
    cvel: Float[Array, "nbody 6"]
    actuator_force: Float[Array, "nu"]
    qfrc_actuator: Float[Array, "nv"]
    sensordata: Float[Array, "nsensordata"]

    def replace(self, **fields: Any) -> "PhysicsData":
        """Returns a copy with some fields replaced."""
        ...
