"""Moving frames: free joints and other bodies, and the base of a robot."""

import dataclasses

import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Float

from ksim.physics.data import PhysicsData
from ksim.physics.rotation import rotate_inverse


@dataclasses.dataclass(frozen=True)
class FreeJoint:
    """The free joint of a floating base: 7 numbers in `qpos`, 6 in `qvel`.

    Attributes:
      body_id: the body that floats.
      qpos_start: index of its position in `qpos`, followed by its quaternion.
      qvel_start: index of its linear velocity in `qvel`, followed by its angular velocity.
    """

    body_id: int
    qpos_start: int
    qvel_start: int

    @property
    def position_slice(self) -> slice:
        """The 3 position numbers within `qpos`."""
        return slice(self.qpos_start, self.qpos_start + 3)

    @property
    def orientation_slice(self) -> slice:
        """The 4 quaternion numbers within `qpos`."""
        return slice(self.qpos_start + 3, self.qpos_start + 7)

    @property
    def linear_slice(self) -> slice:
        """The 3 linear velocities within `qvel`."""
        return slice(self.qvel_start, self.qvel_start + 3)

    @property
    def angular_slice(self) -> slice:
        """The 3 angular velocities within `qvel`."""
        return slice(self.qvel_start + 3, self.qvel_start + 6)

    def position(self, data: PhysicsData) -> Float[Array, "3"]:
        """Returns the position in the world, m."""
        return data.qpos[self.position_slice]

    def orientation(self, data: PhysicsData) -> Float[Array, "4"]:
        """Returns the orientation in the world, unit quaternion `(w, x, y, z)`."""
        quaternion = data.qpos[self.orientation_slice]
        return quaternion / jnp.linalg.norm(quaternion)  # a reset may have set one of any length

    def linear_velocity(self, data: PhysicsData) -> Float[Array, "3"]:
        """Returns the linear velocity in the *world's* frame, m/s."""
        return data.qvel[self.linear_slice]

    def angular_velocity(self, data: PhysicsData) -> Float[Array, "3"]:
        """Returns the angular velocity in the *body's* frame, rad/s."""
        return data.qvel[self.angular_slice]


def find_floating(mj_model: mujoco.MjModel) -> dict[int, FreeJoint]:
    """Returns the free joints of a model by the id of the body that floats, in their order."""
    (joint_ids,) = np.nonzero(mj_model.jnt_type == int(mujoco.mjtJoint.mjJNT_FREE))
    floating = {}
    for joint_id in joint_ids:
        body_id = int(mj_model.jnt_bodyid[joint_id])
        qpos_start = int(mj_model.jnt_qposadr[joint_id])
        floating[body_id] = FreeJoint(body_id, qpos_start, int(mj_model.jnt_dofadr[joint_id]))
    return floating


def find_base(mj_model: mujoco.MjModel) -> FreeJoint | None:
    """Returns the free joint of the first floating body that an actuator moves, if there is one.

    In a model without actuators it is the first floating body.
    """
    moved = {int(mj_model.body_rootid[body_id]) for body_id in _moved_bodies(mj_model)}
    for body_id, joint in find_floating(mj_model).items():
        if not mj_model.nu or body_id in moved:
            return joint
    return None


def _moved_bodies(mj_model: mujoco.MjModel) -> list[int]:
    """Returns the bodies that actuators move: of their joints, tendons, sites and bodies."""
    transmissions = mujoco.mjtTrn
    bodies: list[int] = []
    for number, target in zip(
        mj_model.actuator_trntype, mj_model.actuator_trnid[:, 0], strict=True
    ):
        kind = transmissions(number)
        if kind in (transmissions.mjTRN_JOINT, transmissions.mjTRN_JOINTINPARENT):
            bodies.append(int(mj_model.jnt_bodyid[target]))
        elif kind in (transmissions.mjTRN_SITE, transmissions.mjTRN_SLIDERCRANK):
            bodies.append(int(mj_model.site_bodyid[target]))
        elif kind == transmissions.mjTRN_BODY:
            bodies.append(int(target))
        elif kind == transmissions.mjTRN_TENDON:
            bodies += _bodies_of_tendon(mj_model, int(target))
    return bodies


def _bodies_of_tendon(mj_model: mujoco.MjModel, tendon_id: int) -> list[int]:
    """Returns the bodies that a tendon is fixed to, by joints or by sites."""
    start = mj_model.tendon_adr[tendon_id]
    bodies: list[int] = []
    for wrap_id in range(start, start + mj_model.tendon_num[tendon_id]):
        kind, target = mujoco.mjtWrap(mj_model.wrap_type[wrap_id]), mj_model.wrap_objid[wrap_id]
        if kind == mujoco.mjtWrap.mjWRAP_JOINT:
            bodies.append(int(mj_model.jnt_bodyid[target]))
        elif kind == mujoco.mjtWrap.mjWRAP_SITE:
            bodies.append(int(mj_model.site_bodyid[target]))
    return bodies


@dataclasses.dataclass(frozen=True)
class MovingBody:
    """Reads any body of the model as a floating base is read: see `FreeJoint`.

    Attributes:
      body_id: the body.
      root_id: the root of its tree, at whose centre of mass MuJoCo measures its velocity.
    """

    body_id: int
    root_id: int

    def position(self, data: PhysicsData) -> Float[Array, "3"]:
        """Returns the position of the body's origin in the world, m."""
        return data.xpos[self.body_id]

    def orientation(self, data: PhysicsData) -> Float[Array, "4"]:
        """Returns the orientation in the world, unit quaternion `(w, x, y, z)`."""
        return data.xquat[self.body_id]

    def linear_velocity(self, data: PhysicsData) -> Float[Array, "3"]:
        """Returns the linear velocity of the body's origin in the *world's* frame, m/s."""
        arm = data.xpos[self.body_id] - data.subtree_com[self.root_id]
        return velocity_at(data.cvel[self.body_id], arm)

    def angular_velocity(self, data: PhysicsData) -> Float[Array, "3"]:
        """Returns the angular velocity in the *body's* frame, rad/s."""
        return rotate_inverse(data.xquat[self.body_id], data.cvel[self.body_id][:3])


MovingFrame = FreeJoint | MovingBody
"""A frame with a pose and a velocity: that of a floating base, or of any other body."""


def moving_frame(mj_model: mujoco.MjModel, body_id: int) -> MovingFrame:
    """Returns the free joint of a body, or the body itself if it has none."""
    free_joint = find_floating(mj_model).get(body_id)
    return free_joint or MovingBody(body_id, int(mj_model.body_rootid[body_id]))


def velocity_at(
    spatial: Float[Array, "*points 6"], arm: Float[Array, "*points 3"]
) -> Float[Array, "*points 3"]:
    """Returns the linear velocity of points of bodies in the world's frame, m/s.

    MuJoCo's `cvel` holds the angular and the linear velocity of a body, the latter at the centre
    of mass of the whole tree; v = v_com + omega x (p - p_com) moves it to a point.

    Args:
      spatial: `[..., 6]` rows of `cvel`.
      arm: `[..., 3]` from the centre of mass of each tree to the point, m.
    """
    return spatial[..., 3:] + jnp.cross(spatial[..., :3], arm)
