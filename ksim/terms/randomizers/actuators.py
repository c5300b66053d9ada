"""Weaker and stronger actuators."""

import dataclasses

import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Float, Key

from ksim.physics import ModelFields, PhysicsModel
from ksim.terms.parts.checks import Range, check_range
from ksim.terms.parts.lookup import Names, find_all
from ksim.terms.randomizers.base import Randomizer, draw_factors, scale_rows
from ksim.terms.term import Carry

# Parameters of a law that its force is proportional to: the first and the one after the last.
_LINEAR = (0, 3)  # a constant, and coefficients of length and velocity
_MUSCLE = (2, 4)  # the peak force, and what it is computed from where it is not given
_GAIN_COLUMNS = {
    int(mujoco.mjtGain.mjGAIN_FIXED): _LINEAR,
    int(mujoco.mjtGain.mjGAIN_AFFINE): _LINEAR,
    int(mujoco.mjtGain.mjGAIN_MUSCLE): _MUSCLE,
}
_BIAS_COLUMNS = {
    int(mujoco.mjtBias.mjBIAS_NONE): _LINEAR,
    int(mujoco.mjtBias.mjBIAS_AFFINE): _LINEAR,
    int(mujoco.mjtBias.mjBIAS_MUSCLE): _MUSCLE,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActuatorGainRandomizer(Randomizer):
    """Multiplies actuators' forces: `kp` and `kd` of a servo together, the strength of a motor.

    force = factor * (gain * ctrl + bias), kept within the model's own limits, which stay: a motor
    that is asked for all it may do gets no stronger. It changes `PositionActuators`,
    `TorqueActuators` and `ModelActuators`, with every engine: their laws are in the model. Of
    muscles it multiplies the peak force.

    Attributes:
      actuator_ids: the actuators.
      gain_columns: range of the multiplied parameters of each one's gain, `(first, end)`.
      bias_columns: range of the multiplied parameters of each one's bias, `(first, end)`.
      scale_range: the factor, >= 0; drawn uniformly.
      is_shared: whether all actuators have the same factor; if not, each has its own.
    """

    actuator_ids: tuple[int, ...]
    gain_columns: tuple[tuple[int, int], ...]
    bias_columns: tuple[tuple[int, int], ...]
    scale_range: Range = (0.8, 1.2)
    is_shared: bool = False

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        actuators: Names | None = None,
        *,
        scale_range: Range = (0.8, 1.2),
        is_shared: bool = False,
    ) -> "ActuatorGainRandomizer":
        """Finds the actuators. Arguments are the attributes, and names instead of ids.

        `actuators` are by default all.

        Raises:
          KeyError: if there is no such actuator.
          ValueError: if the range is not in ascending order or begins below 0, or an actuator's law
            is neither linear nor a muscle's.
        """
        mj_model = model.mj_model
        actuator_ids = tuple(range(mj_model.nactuator))
        if actuators is not None:
            actuator_ids = find_all(model, "actuator", actuators, cls.__name__)
        for actuator_id in actuator_ids:
            _check_law(mj_model, actuator_id, cls.__name__)
        gains = mj_model.actuator_gaintype[list(actuator_ids)]
        biases = mj_model.actuator_biastype[list(actuator_ids)]
        return cls(
            actuator_ids=actuator_ids,
            gain_columns=tuple(_GAIN_COLUMNS[int(gain)] for gain in gains),
            bias_columns=tuple(_BIAS_COLUMNS[int(bias)] for bias in biases),
            scale_range=scale_range,
            is_shared=is_shared,
        )

    def __post_init__(self) -> None:
        check_range(self, "scale_range", (0.8, 1.2), at_least=0.0)

    @property
    def fields(self) -> tuple[str, ...]:
        """See `Randomizer.fields`."""
        return ("actuator_gainprm", "actuator_biasprm")

    def __call__(
        self, model: ModelFields, carry: Carry, key: Key[Array, ""]
    ) -> tuple[dict[str, Array], Carry]:
        """Returns `actuator_gainprm` and `actuator_biasprm`, both `[nactuator, parameters]`."""
        count = len(self.actuator_ids)
        factors = draw_factors(key, 1 if self.is_shared else count, self.scale_range)
        factors = jnp.broadcast_to(factors, (count,))
        gain, bias = model["actuator_gainprm"], model["actuator_biasprm"]
        return {
            "actuator_gainprm": self._scale(gain, self.gain_columns, factors),
            "actuator_biasprm": self._scale(bias, self.bias_columns, factors),
        }, carry

    def _scale(
        self,
        parameters: Array,
        columns: tuple[tuple[int, int], ...],
        factors: Float[Array, "actuators"],
    ) -> Array:
        """Returns `parameters` with the given columns of each actuator multiplied."""
        is_scaled = np.zeros(parameters.shape, bool)
        for actuator_id, (first, end) in zip(self.actuator_ids, columns, strict=True):
            is_scaled[actuator_id, first:end] = True
        return jnp.where(is_scaled, scale_rows(parameters, self.actuator_ids, factors), parameters)


def _check_law(mj_model: mujoco.MjModel, actuator_id: int, asked_by: str) -> None:
    """Raises ValueError unless an actuator obeys a law whose force can be scaled."""
    gain = mujoco.mjtGain(mj_model.actuator_gaintype[actuator_id])
    bias = mujoco.mjtBias(mj_model.actuator_biastype[actuator_id])
    if int(gain) in _GAIN_COLUMNS and int(bias) in _BIAS_COLUMNS:
        return
    name = mj_model.actuator(actuator_id).name or f"actuator {actuator_id}"
    raise ValueError(
        f'{asked_by}(actuator="{name}"): its law must be linear or a muscle\'s, found {gain.name}'
        f" and {bias.name}. Name the other actuators: actuators=(...)."
    )
