"""Finds servos that a time step is too long for."""

import mujoco


def find_unstable_joints(mj_model: mujoco.MjModel) -> tuple[str, ...]:
    """Returns joints whose servo makes them shake harder with every physics step.

    A servo (gains kp and kd) on a joint with inertia m, stepped by the Euler integrator, which
    takes a servo's damping from the step before, is stable while 2 dt kd / m + dt^2 kp / m < 4.
    The inertia is what the joint feels at `qpos0` while all others may move. Other integrators
    are not examined.
    """
    if mj_model.opt.integrator != mujoco.mjtIntegrator.mjINT_EULER:
        return ()
    is_damped = not mj_model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_EULERDAMP
    dt = mj_model.opt.timestep
    unstable = []
    for actuator_id in range(mj_model.nu):
        joint_id = mj_model.actuator_trnid[actuator_id, 0]
        is_servo = (
            mj_model.actuator_trntype[actuator_id] == mujoco.mjtTrn.mjTRN_JOINT
            and mj_model.actuator_dyntype[actuator_id] == mujoco.mjtDyn.mjDYN_NONE
            and mj_model.actuator_biastype[actuator_id] == mujoco.mjtBias.mjBIAS_AFFINE
            and mujoco.mjtJoint(mj_model.jnt_type[joint_id])
            in (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE)
        )
        if not is_servo:
            continue
        dof_id = mj_model.jnt_dofadr[joint_id]
        gear = mj_model.actuator_gear[actuator_id, 0]
        kp, kd = -(gear**2) * mj_model.actuator_biasprm[actuator_id, 1:3]
        inertia = (
            1.0 / mj_model.dof_invweight0[dof_id] + is_damped * dt * mj_model.dof_damping[dof_id]
        )
        if (2.0 * dt * kd + dt**2 * kp) / inertia >= 4.0:
            unstable.append(mj_model.joint(joint_id).name or f"joint_{joint_id}")
    return tuple(unstable)
