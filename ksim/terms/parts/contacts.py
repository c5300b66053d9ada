"""Sensors that tell whether something is touched."""

import dataclasses
from collections.abc import Sequence

import mujoco
import numpy as np
from jaxtyping import Array, Bool

from ksim.physics import PhysicsData, PhysicsModel
from ksim.terms.parts.lookup import Names, find_all

_FOUND = 1 << int(mujoco.mjtConDataField.mjCONDATA_FOUND)
_LEAST_FOUND = 0.5  # of a number of contacts: one, or none


@dataclasses.dataclass(frozen=True)
class ContactSensors:
    """Sensors that tell whether something is touched.

    A touch sensor measures the normal forces in the volume of its site. A contact sensor with
    `data="found"` counts the contacts of the geoms, bodies or subtrees that it names, at the
    present positions. What measures forces, contact sensors too, tells of the last substep, and of
    nothing right after a reset.

    Attributes:
      starts: where each sensor's value stands in `sensordata`.
      thresholds: from this value on something is touched: N, or a number of contacts.
    """

    starts: tuple[int, ...]
    thresholds: tuple[float, ...]

    @classmethod
    def create(
        cls, model: PhysicsModel, sensors: Names, asked_by: str, min_contact_force: float = 1.0
    ) -> "ContactSensors":
        """Finds sensors by name.

        Args:
          model: the model.
          sensors: names of touch sensors, or of contact sensors with `data="found"`.
          asked_by: the class that asks, for error messages.
          min_contact_force: from this normal force on a touch sensor is touched, N, > 0.

        Raises:
          KeyError: if there is no such sensor.
          ValueError: if it tells of no contact, or the force is not positive.
        """
        sensor_ids = find_all(model, "sensor", sensors, asked_by)
        return cls.of(model.mj_model, sensor_ids, asked_by, min_contact_force)

    @classmethod
    def of(
        cls,
        mj_model: mujoco.MjModel,
        sensor_ids: Sequence[int],
        asked_by: str,
        min_contact_force: float,
    ) -> "ContactSensors":
        """Takes sensors by their ids; see `create`."""
        if not min_contact_force > 0.0:
            raise ValueError(
                f"{asked_by}(min_contact_force={min_contact_force!r}): min_contact_force must be"
                " positive. Write min_contact_force=1.0, for instance."
            )
        for sensor_id in sensor_ids:
            _check(mj_model, sensor_id, asked_by)
        return cls(
            starts=tuple(int(mj_model.sensor_adr[sensor_id]) for sensor_id in sensor_ids),
            thresholds=tuple(
                _LEAST_FOUND if is_counting(mj_model, sensor_id) else float(min_contact_force)
                for sensor_id in sensor_ids
            ),
        )

    def is_touched(self, physics: PhysicsData) -> Bool[Array, "sensors"]:
        """Returns whether each sensor tells of a contact."""
        values = physics.sensordata[np.array(self.starts)]
        return values >= np.array(self.thresholds, dtype=values.dtype)


def is_counting(mj_model: mujoco.MjModel, sensor_id: int) -> bool:
    """Returns whether a sensor is a contact sensor whose first value is the number of contacts."""
    is_contact = mj_model.sensor_type[sensor_id] == mujoco.mjtSensor.mjSENS_CONTACT
    return bool(is_contact and mj_model.sensor_intprm[sensor_id, 0] & _FOUND)


def _check(mj_model: mujoco.MjModel, sensor_id: int, asked_by: str) -> None:
    kind = mujoco.mjtSensor(mj_model.sensor_type[sensor_id])
    if kind == mujoco.mjtSensor.mjSENS_TOUCH or is_counting(mj_model, sensor_id):
        return
    found = f"it is of the type {kind.name}"
    if kind == mujoco.mjtSensor.mjSENS_CONTACT:
        found = 'its data lacks "found"'
    raise ValueError(
        f'{asked_by}(sensor="{mj_model.sensor(sensor_id).name}"): {found}, and does not tell'
        ' whether something is touched. Write <contact geom1="..." geom2="..." data="found"/> in'
        ' the MJCF, or <touch site="..."/>.'
    )
