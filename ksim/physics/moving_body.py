"""Bodies without a free joint: where they are and how they move."""

import dataclasses

import jax.numpy as jnp
import mujoco
from jaxtyping import Array, Float

from ksim.physics.data import PhysicsData
from ksim.physics.floating_base import FreeJoint, find_floating
from ksim.physics.rotation import rotate_inverse


@dataclasses.dataclass(frozen=True)
class MovingBody:
    """Any body of the model, read as a floating base is: see `FreeJoint`.

    Attributes:
      body_id: the body.
      root_id: the root of its tree, at whose centre of mass MuJoCo measures its velocity.
    """

    body_id: int
    root_id: int

    def position(self, data: PhysicsData) -> Float[Array, "3"]:
        """Position of the body's origin in the world, metres."""
        return data.xpos[self.body_id]

    def orientation(self, data: PhysicsData) -> Float[Array, "4"]:
        """Orientation in the world, unit quaternion `(w, x, y, z)`."""
        return data.xquat[self.body_id]

    def linear_velocity(self, data: PhysicsData) -> Float[Array, "3"]:
        """Linear velocity of the body's origin in the *world's* frame, m/s."""
        arm = data.xpos[self.body_id] - data.subtree_com[self.root_id]
        return velocity_at(data.cvel[self.body_id], arm)

    def angular_velocity(self, data: PhysicsData) -> Float[Array, "3"]:
        """Angular velocity in the *body's* frame, rad/s."""
        return rotate_inverse(data.xquat[self.body_id], data.cvel[self.body_id][:3])


MovingFrame = FreeJoint | MovingBody
"""What has a pose and a velocity: a floating base, or any other body."""


def moving_frame(mj_model: mujoco.MjModel, body_id: int) -> MovingFrame:
    """Returns the free joint of a body, or without one the body itself."""
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
