"""Extensions of PPO: the contract, and one file for each."""

from ksim.rl.extensions.base import Extension
from ksim.rl.extensions.mirror_images import MirrorImages

__all__ = ["Extension", "MirrorImages"]
