"""Values that the MJCF's sensors measure."""

import dataclasses

import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Float

from ksim.physics import PhysicsModel
from ksim.terms.observations.base import NoisyObservation
from ksim.terms.observations.noise import Noise
from ksim.terms.parts.lookup import Names, find_all, find_body
from ksim.terms.term import StepState


@dataclasses.dataclass(frozen=True, kw_only=True)
class SensorObservation(NoisyObservation):
    """Values of one sensor: `[size]`, in the sensor's unit.

    Sensors of forces and accelerations (touch, accelerometer, ...) tell of the last substep, and
    are zero right after a reset.

    Attributes:
      start: where the values begin in `sensordata`.
      stop: where they end.
    """

    start: int
    stop: int

    @classmethod
    def create(
        cls, model: PhysicsModel, sensor: str, *, noise: Noise | None = None
    ) -> "SensorObservation":
        """Finds the sensor by its name in the MJCF.

        Raises:
          KeyError: if there is no such sensor.
        """
        start, stop = model.sensor_slice(sensor, cls.__name__)
        return cls(start=start, stop=stop, noise=noise)

    def observe(self, state: StepState) -> Float[Array, "size"]:
        """Returns the sensor's values."""
        return state.physics.sensordata[self.start : self.stop]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GyroObservation(NoisyObservation):
    """Angular velocity that a gyro measures, in its site's frame: `[3]`, rad/s.

    Attributes:
      start: where the values begin in `sensordata`.
    """

    start: int

    @classmethod
    def create(
        cls, model: PhysicsModel, sensor: str, *, noise: Noise | None = None
    ) -> "GyroObservation":
        """Finds the gyro by its name in the MJCF.

        Raises:
          KeyError: if there is no such sensor.
          ValueError: if it is not a gyro.
        """
        sensor_id = model.find("sensor", sensor, cls.__name__)
        kind = mujoco.mjtSensor(model.mj_model.sensor_type[sensor_id])
        if kind != mujoco.mjtSensor.mjSENS_GYRO:
            raise ValueError(
                f'{cls.__name__}(sensor="{sensor}"): this sensor is of the type {kind.name}.'
                ' Write <gyro site="..."/> in the MJCF, or use SensorObservation.'
            )
        return cls(start=int(model.mj_model.sensor_adr[sensor_id]), noise=noise)

    def observe(self, state: StepState) -> Float[Array, "3"]:
        """Returns the angular velocity."""
        return state.physics.sensordata[self.start : self.start + 3]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProjectedGravityObservation(NoisyObservation):
    """Direction of gravity in the frame of a body: `[3]`, unit vector; `(0, 0, -1)` if upright.

    An IMU at rest measures it, up to sign and length; it tells the tilt and not the heading. The
    model's `gravity` may lean, to make a floor a slope; without gravity it is the way down.

    Attributes:
      body_id: the body.
      direction: direction of gravity in the world, unit vector.
    """

    body_id: int
    direction: tuple[float, float, float] = (0.0, 0.0, -1.0)

    @classmethod
    def create(
        cls, model: PhysicsModel, body: str | None = None, *, noise: Noise | None = None
    ) -> "ProjectedGravityObservation":
        """Finds the body by its name; `None` stands for the floating base.

        Raises:
          KeyError: if there is no such body.
          ValueError: if the base is asked for and the model has none.
        """
        gravity = model.mj_model.opt.gravity
        x, y, z = gravity / np.linalg.norm(gravity) if gravity.any() else (0.0, 0.0, -1.0)
        return cls(
            body_id=find_body(model, body, cls.__name__),
            direction=(float(x), float(y), float(z)),
            noise=noise,
        )

    def observe(self, state: StepState) -> Float[Array, "3"]:
        """Returns R^T times the direction."""
        rotation = state.physics.xmat[self.body_id]
        # A sum, not a product of matrices: some devices round those.
        return jnp.sum(jnp.asarray(self.direction, rotation.dtype)[:, None] * rotation, axis=0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActuatorForceObservation(NoisyObservation):
    """Forces of actuators in the last substep: `[actuators]`, N m (N); zero after a reset.

    They are what MuJoCo calls so: a gear multiplies them before they reach the joint.

    Attributes:
      force_ids: the places of the actuators' forces.
    """

    force_ids: tuple[int, ...]

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        actuators: Names | None = None,
        *,
        noise: Noise | None = None,
    ) -> "ActuatorForceObservation":
        """Finds the actuators by name; `None` stands for all.

        Raises:
          KeyError: if there is no such actuator.
        """
        mj_model = model.mj_model
        if actuators is None:
            return cls(force_ids=tuple(range(mj_model.nout)), noise=noise)
        force_ids: list[int] = []
        for actuator_id in find_all(model, "actuator", actuators, cls.__name__):
            start = int(mj_model.actuator_outadr[actuator_id])
            force_ids += range(start, start + int(mj_model.actuator_outnum[actuator_id]))
        return cls(force_ids=tuple(force_ids), noise=noise)

    def observe(self, state: StepState) -> Float[Array, "actuators"]:
        """Returns the forces."""
        return state.physics.actuator_force[np.array(self.force_ids, dtype=int)]
