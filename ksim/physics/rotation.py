"""Rotations as unit quaternions `(w, x, y, z)`, MuJoCo's order."""

import jax.numpy as jnp
from jaxtyping import Array, Float

Quaternion = Float[Array, "4"]
Vector = Float[Array, "3"]


def rotate(quaternion: Quaternion, vector: Vector) -> Vector:
    """Rotates a vector from the body's frame into the world's."""
    w, axis = quaternion[0], quaternion[1:]
    twice = 2.0 * jnp.cross(axis, vector)
    return vector + w * twice + jnp.cross(axis, twice)


def rotate_inverse(quaternion: Quaternion, vector: Vector) -> Vector:
    """Rotates a vector from the world's frame into the body's."""
    return rotate(conjugate(quaternion), vector)


def conjugate(quaternion: Quaternion) -> Quaternion:
    """Returns the inverse rotation of a unit quaternion."""
    return jnp.concatenate([quaternion[:1], -quaternion[1:]])


def multiply(left: Quaternion, right: Quaternion) -> Quaternion:
    """Returns the rotation `right` followed by `left`."""
    w = left[0] * right[0] - jnp.dot(left[1:], right[1:])
    xyz = left[0] * right[1:] + right[0] * left[1:] + jnp.cross(left[1:], right[1:])
    return jnp.concatenate([w[None], xyz])


def from_yaw(yaw: Float[Array, ""]) -> Quaternion:
    """Returns the rotation by `yaw` radians about the world's vertical axis."""
    zero = jnp.zeros_like(yaw)
    return jnp.stack([jnp.cos(yaw / 2), zero, zero, jnp.sin(yaw / 2)])


def yaw_of(quaternion: Quaternion) -> Float[Array, ""]:
    """Returns the heading in radians, in (-pi, pi]: the angle of the body's x axis on the floor."""
    w, x, y, z = quaternion
    return jnp.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def heading_of(quaternion: Quaternion) -> Quaternion:
    """Returns the rotation about the vertical axis alone, without tilt."""
    return from_yaw(yaw_of(quaternion))
