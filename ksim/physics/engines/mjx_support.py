"""Rejects models that MJX would silently simulate differently from MuJoCo."""

from operator import attrgetter

import mujoco
import numpy as np

_LEFT_OUT = {
    "actuator_armature": "the armature of actuators",
    "actuator_damping": "the damping of actuators",
    "actuator_dampingpoly": "the damping of actuators",
    "actuator_delay": "the delay of actuators",
    "sensor_delay": "the delay of sensors",
    "sensor_interval": "the interval of sensors",
    "geom_adhesion": "adhesion",
    "pair_adhesion": "adhesion",
    "geom_surfacevel": "the velocity of surfaces",
    "dof_dampingpoly": "damping by a polynomial",
    "jnt_stiffnesspoly": "stiffness by a polynomial",
    "tendon_dampingpoly": "damping by a polynomial",
    "tendon_stiffnesspoly": "stiffness by a polynomial",
    "opt.noslip_iterations": "the noslip solver",
    "opt.disableactuator": "disabling groups of actuators",
}
"""Fields that native MuJoCo reads and MJX does not, and users' words for them."""


def check_supported(mj_model: mujoco.MjModel) -> None:
    """Raises ValueError if MJX would silently simulate the model differently from MuJoCo.

    Most of what MJX lacks it reports itself. The features checked here it would leave out in
    silence, or fail at late.
    """
    _check_integrator(mj_model)
    for field, attribute in _LEFT_OUT.items():
        if np.any(attrgetter(field)(mj_model)):
            raise ValueError(
                f"The MJX engine leaves out {attribute}, which the model sets ({field})."
                " Leave it out of the MJCF, or write engine=mujoco."
            )
    _check_passive_forces(mj_model)
    _check_limits(mj_model)
    is_ranging = mj_model.sensor_type == int(mujoco.mjtSensor.mjSENS_RANGEFINDER)
    if np.any(is_ranging) and not mj_model.nmat:
        raise ValueError(
            "The MJX engine runs a rangefinder only in a model that has a material."
            ' Write <asset><material name="any"/></asset> in the MJCF, or engine=mujoco.'
        )


def _check_integrator(mj_model: mujoco.MjModel) -> None:
    supported = (mujoco.mjtIntegrator.mjINT_EULER, mujoco.mjtIntegrator.mjINT_IMPLICITFAST)
    integrator = mujoco.mjtIntegrator(mj_model.opt.integrator)
    if integrator not in supported:
        raise ValueError(
            f"The MJX engine runs the Euler and implicitfast integrators, found {integrator.name}."
            ' Write <option integrator="Euler"/> in the MJCF, or engine=mujoco.'
        )


def _check_passive_forces(mj_model: mujoco.MjModel) -> None:
    """Rejects disabled springs or dampers alone: MJX then leaves out all passive forces."""
    for name, bit in (
        ("spring", mujoco.mjtDisableBit.mjDSBL_SPRING),
        ("damper", mujoco.mjtDisableBit.mjDSBL_DAMPER),
    ):
        if mj_model.opt.disableflags & int(bit):
            raise ValueError(
                f'With <flag {name}="disable"/> the MJX engine leaves out other passive forces,'
                f" too. Set the {name}s of joints and tendons to 0 in the MJCF instead, or write"
                " engine=mujoco."
            )
    has_medium = mj_model.opt.density > 0 or mj_model.opt.viscosity > 0
    if has_medium and np.any(mj_model.geom_fluid[:, 0]):
        raise ValueError(
            "The MJX engine leaves out the ellipsoid model of fluid forces, which the model sets."
            ' Leave fluidshape="ellipsoid" out of the MJCF, or write engine=mujoco.'
        )


def _check_limits(mj_model: mujoco.MjModel) -> None:
    """Rejects margins at which both limits would act: MJX knows only the nearer of the two."""
    has_two = mj_model.jnt_type >= int(mujoco.mjtJoint.mjJNT_SLIDE)
    for kind, is_limited, bounds, margins in (
        ("joint", mj_model.jnt_limited & has_two, mj_model.jnt_range, mj_model.jnt_margin),
        ("tendon", mj_model.tendon_limited, mj_model.tendon_range, mj_model.tendon_margin),
    ):
        half = (bounds[:, 1] - bounds[:, 0]) / 2
        for index in np.flatnonzero(is_limited.astype(bool) & (margins > half)):
            name = getattr(mj_model, kind)(index).name or f"number {index}"
            raise ValueError(
                f"The {kind} {name} has a margin of {margins[index]:g}, wider than half its range"
                f" ({half[index]:g}): both limits would act at once, of which the MJX engine knows"
                f' the nearer one only. Write margin="{half[index]:.3g}" or less in the MJCF, or'
                " engine=mujoco."
            )
