"""Reset to a keyframe of the MJCF."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ksim.physics import EpisodeStart, PhysicsModel
from ksim.terms.resets.base import Reset
from ksim.terms.term import Carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeyframeReset(Reset):
    """Puts the robot into a keyframe; goes before resets that change its pose or velocity.

    Positions and velocities replace those it finds, which are the first keyframe's in the first
    reset. The keyframe's activations, controls and mocap poses do not count: activations begin
    at 0.

    Attributes:
      qpos: the keyframe's generalized positions.
      qvel: the keyframe's generalized velocities.
    """

    qpos: tuple[float, ...]
    qvel: tuple[float, ...]

    @classmethod
    def create(cls, model: PhysicsModel, keyframe: str) -> "KeyframeReset":
        """Finds the keyframe by its name in the MJCF.

        Raises:
          KeyError: if there is no such keyframe.
        """
        key_id = model.find("keyframe", keyframe, cls.__name__)
        return cls(
            qpos=tuple(model.mj_model.key_qpos[key_id].tolist()),
            qvel=tuple(model.mj_model.key_qvel[key_id].tolist()),
        )

    def __call__(
        self, start: EpisodeStart, level: Float[Array, ""], carry: Carry, key: Key[Array, ""]
    ) -> tuple[EpisodeStart, Carry]:
        """Returns the keyframe's state."""
        del level, key
        qpos = jnp.asarray(self.qpos, start.qpos.dtype)
        qvel = jnp.asarray(self.qvel, start.qvel.dtype)
        return EpisodeStart(qpos=qpos, qvel=qvel), carry
