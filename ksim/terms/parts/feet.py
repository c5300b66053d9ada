"""Feet: sites that touch the ground."""

import dataclasses
from collections.abc import Mapping, Sequence

import mujoco
import numpy as np
from jaxtyping import Array, Bool, Float

from ksim.physics import PhysicsData, PhysicsModel, velocity_at
from ksim.terms.parts.contacts import ContactSensors, is_counting
from ksim.terms.parts.lookup import Names, find_all

FeetNames = Names | Mapping[str, Names]
"""Names of sites; each has a touch sensor, or its body has contact sensors with the ground. Or the
names of its sensors by site, as `{"left_foot": ("left_heel_touch", "left_toe_touch")}`."""


@dataclasses.dataclass(frozen=True)
class Feet:
    """Feet, each a site with sensors that tell whether it is in contact.

    Attributes:
      names: the sites, in the order asked for.
      site_ids: the id of each site.
      body_ids: the body of each site.
      root_ids: the root of each body's tree; its centre of mass is where `cvel` is measured.
      sensors: equally many for each foot, those of the first foot first. Of a foot that has fewer
        than another, the first is there again.
    """

    names: tuple[str, ...]
    site_ids: tuple[int, ...]
    body_ids: tuple[int, ...]
    root_ids: tuple[int, ...]
    sensors: ContactSensors

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        feet: FeetNames,
        asked_by: str,
        min_contact_force: float = 1.0,
    ) -> "Feet":
        """Finds feet by the names of their sites.

        A foot is in contact if one of its sensors says so. Those are the ones that `feet` names;
        else the touch sensor of the site; else the contact sensors, with `data="found"`, between
        the site or its body and what cannot move.

        Args:
          model: the model.
          feet: names of sites, or of sensors by site.
          asked_by: the class that asks, for error messages.
          min_contact_force: from this normal force on a touch sensor is in contact, N.

        Raises:
          KeyError: if there is no such site or sensor.
          ValueError: if a foot has no sensor, nothing of its body collides, or the force is not
            positive.
        """
        mj_model = model.mj_model
        if isinstance(feet, Mapping) and feet:
            site_ids = tuple(model.find("site", name, asked_by) for name in feet)
            rows = [find_all(model, "sensor", sensors, asked_by) for sensors in feet.values()]
        else:
            site_ids = find_all(model, "site", names_of(feet), asked_by)
            rows = [_sensors_of(mj_model, site_id, asked_by) for site_id in site_ids]
        body_ids = tuple(int(mj_model.site_bodyid[site_id]) for site_id in site_ids)
        widest = max(len(row) for row in rows)
        padded = [sensor for row in rows for sensor in (*row, *row[:1] * (widest - len(row)))]
        return cls(
            names=tuple(mj_model.site(site_id).name for site_id in site_ids),
            site_ids=site_ids,
            body_ids=body_ids,
            root_ids=tuple(int(mj_model.body_rootid[body_id]) for body_id in body_ids),
            sensors=ContactSensors.of(mj_model, padded, asked_by, min_contact_force),
        )

    def __len__(self) -> int:
        return len(self.names)

    def is_in_contact(self, physics: PhysicsData) -> Bool[Array, "feet"]:
        """Returns whether each foot touches something, as measured by its `ContactSensors`."""
        return self.sensors.is_touched(physics).reshape(len(self), -1).any(axis=1)

    def velocities(self, physics: PhysicsData) -> Float[Array, "feet 3"]:
        """Returns the velocity of each foot's site in the world's frame, m/s."""
        arms = physics.site_xpos[np.array(self.site_ids)]
        arms = arms - physics.subtree_com[np.array(self.root_ids)]
        return velocity_at(physics.cvel[np.array(self.body_ids)], arms)


def names_of(feet: FeetNames) -> Names:
    """Returns the names of the sites alone."""
    return tuple(feet) if isinstance(feet, Mapping) else feet


def _sensors_of(mj_model: mujoco.MjModel, site_id: int, asked_by: str) -> Sequence[int]:
    """Returns the sensors of one foot, at least one."""
    name = mj_model.site(site_id).name
    body = mj_model.body(mj_model.site_bodyid[site_id]).name
    touch = _touch_sensors(mj_model, site_id)
    found = touch or _ground_sensors(mj_model, site_id)
    if not found:
        raise ValueError(
            f'{asked_by}(site="{name}"): the site has no touch sensor, and no contact sensor tells'
            f' when its body "{body}" is on the ground. Write <sensor><touch site="{name}"/>'
            '</sensor> in the MJCF, or <contact geom1="(the foot)" geom2="(the floor)"'
            ' data="found"/>.'
        )
    if touch and not _is_colliding(mj_model, int(mj_model.site_bodyid[site_id])):
        raise ValueError(
            f'{asked_by}(site="{name}"): no geom of its body "{body}" collides, so its touch sensor'
            " would always be 0. Move the site to the body that has the foot's geom."
        )
    return found


def _touch_sensors(mj_model: mujoco.MjModel, site_id: int) -> list[int]:
    """Returns the touch sensor of a site, if it has one."""
    is_touch = mj_model.sensor_type == mujoco.mjtSensor.mjSENS_TOUCH
    return np.flatnonzero(is_touch & (mj_model.sensor_objid == site_id)).tolist()[:1]


def _ground_sensors(mj_model: mujoco.MjModel, site_id: int) -> list[int]:
    """Returns the sensors of contacts between a site, or its body, and what cannot move."""
    site = (mujoco.mjtObj.mjOBJ_SITE, site_id)
    body_id = mj_model.site_bodyid[site_id]
    found = []
    for sensor_id in filter(lambda i: is_counting(mj_model, i), range(mj_model.nsensor)):
        sides = [
            (mujoco.mjtObj(kind[sensor_id]), int(part[sensor_id]))
            for kind, part in (
                (mj_model.sensor_objtype, mj_model.sensor_objid),
                (mj_model.sensor_reftype, mj_model.sensor_refid),
            )
        ]
        for one, other in (sides, sides[::-1]):
            is_foot = one == site if one[0] == site[0] else _body_of(mj_model, *one) == body_id
            other_body = _body_of(mj_model, *other)
            if is_foot and (other_body is None or mj_model.body_weldid[other_body] == 0):
                found.append(sensor_id)
    return found


def _body_of(mj_model: mujoco.MjModel, kind: mujoco.mjtObj, part_id: int) -> int | None:
    """Returns the body that a side of a contact sensor names; `None` for all that there is."""
    if kind == mujoco.mjtObj.mjOBJ_GEOM:
        return int(mj_model.geom_bodyid[part_id])
    is_body = kind in (mujoco.mjtObj.mjOBJ_BODY, mujoco.mjtObj.mjOBJ_XBODY)
    return part_id if is_body else None


def _is_colliding(mj_model: mujoco.MjModel, body_id: int) -> bool:
    """Returns whether a geom of a body takes part in collisions."""
    start, count = mj_model.body_geomadr[body_id], mj_model.body_geomnum[body_id]
    geoms = np.arange(start, start + count)
    is_in_pair = np.isin(geoms, [mj_model.pair_geom1, mj_model.pair_geom2])
    is_filtered = (mj_model.geom_contype[geoms] == 0) & (mj_model.geom_conaffinity[geoms] == 0)
    return bool(np.any(is_in_pair | ~is_filtered))
