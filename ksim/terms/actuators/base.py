"""The contract of actuators."""

from abc import abstractmethod

import mujoco
from jaxtyping import Array, Float, Key

from ksim.physics import PhysicsData
from ksim.terms.term import Carry, Term


class Actuators(Term):
    """Turns a policy's action into MuJoCo's controls.

    The action of a task is the concatenation of its actuator terms' actions. Servo laws live in
    the MuJoCo model, where every substep evaluates them: `configure` writes them there once.
    """

    @property
    @abstractmethod
    def ctrl_ids(self) -> tuple[int, ...]:
        """The MuJoCo actuators that this term drives, in the order of its controls."""

    @property
    def action_size(self) -> int:
        """Size of this term's part of the action; by default one number for each control."""
        return len(self.ctrl_ids)

    def configure(self, mj_model: mujoco.MjModel) -> None:
        """Writes gains and limits into the compiled model, in place; called once, at build time."""

    @abstractmethod
    def __call__(
        self,
        action: Float[Array, "action_size"],
        physics: PhysicsData,
        carry: Carry,
        key: Key[Array, ""],
    ) -> tuple[Float[Array, "controls"], Carry]:
        """Returns the controls for `ctrl_ids`, held during one control step."""
