"""The contract of a physics engine."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any

from flax import struct
from jaxtyping import Array, Bool, Float

from ksim.physics.data import PhysicsData

ModelFields = Mapping[str, Array]
"""Model fields by MuJoCo's name (`geom_friction`, ...) that differ between environments."""


@struct.dataclass
class EpisodeStart:
    """State in which the simulation of an episode begins.

    Attributes:
      qpos: `[nq]` generalized positions.
      qvel: `[nv]` generalized velocities.
    """

    qpos: Float[Array, "nq"]
    qvel: Float[Array, "nv"]


class PhysicsEngine(ABC):
    """Steps one simulation; pure, so that the environment can be vmapped and jitted.

    A control step is `num_substeps` times "forces and integration, then positions and
    velocities": the pass that computes derived quantities stands last, so whatever a term reads
    is current, and an environment that starts an episode has its state replaced just before that
    pass. One compiled copy of the physics serves every substep, every reset, and the first one.
    """

    @property
    @abstractmethod
    def description(self) -> str:
        """Name of the simulator in a few words, shown at the beginning of a run."""

    @property
    def compiler_options(self) -> Mapping[str, Any]:
        """Options for XLA when a program with `step` is compiled for a CPU, beside its defaults."""
        return {}

    def reading(self, fields: Collection[str]) -> "PhysicsEngine":
        """Returns an engine whose data has at least these fields, and may leave out others.

        Args:
          fields: names of `mjData`.
        """
        return self

    @abstractmethod
    def initial_data(self) -> PhysicsData:
        """Returns the data of one simulation at the model's default state, as NumPy arrays.

        Costs no compilation: it gives the structure, and every episode, the first one too, begins
        with a step that has `is_reset` set.
        """

    @abstractmethod
    def model_fields(self, names: tuple[str, ...]) -> ModelFields:
        """Returns the model's own values of some fields.

        Raises:
          KeyError: if a name is not that of a field in which environments may differ.
        """

    @abstractmethod
    def step(
        self,
        fields: ModelFields,
        data: PhysicsData,
        ctrl: Float[Array, "nu"],
        start: EpisodeStart,
        is_reset: Bool[Array, ""],
    ) -> PhysicsData:
        """Advances one simulation by one control step, or starts an episode.

        Args:
          fields: this environment's own model fields.
          data: the data that the last step returned.
          ctrl: `[nu]` controls, held during the step.
          start: the state in which the episode begins, if it begins now.
          is_reset: `[]` whether it begins now; then the step's motion is discarded.

        Returns:
          The data after the step, derived quantities current.
        """
