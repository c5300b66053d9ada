"""Feet: sites that touch the ground."""

import dataclasses

import mujoco
import numpy as np
from jaxtyping import Array, Bool, Float

from ksim.physics import PhysicsData, PhysicsModel, velocity_at
from ksim.terms.lookup import Names, find_all


@dataclasses.dataclass(frozen=True)
class Feet:
    """Some feet, each a site with a touch sensor.

    Attributes:
      names: the sites, in the order asked for.
      site_ids: the id of each site.
      body_ids: the body of each site.
      root_ids: the root of each body's tree; its centre of mass is where `cvel` is measured.
      sensor_ids: where each touch sensor's value stands in `sensordata`.
      min_contact_force: from this normal force on a foot is in contact, N.
    """

    names: tuple[str, ...]
    site_ids: tuple[int, ...]
    body_ids: tuple[int, ...]
    root_ids: tuple[int, ...]
    sensor_ids: tuple[int, ...]
    min_contact_force: float

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        feet: Names,
        asked_by: str,
        min_contact_force: float = 1.0,
    ) -> "Feet":
        """Finds feet by the names of their sites.

        Args:
          model: the model.
          feet: names of sites; each must carry a touch sensor, of whatever name.
          asked_by: the class that asks, for error messages.
          min_contact_force: from this normal force on a foot is in contact, N.

        Raises:
          KeyError: if there is no such site.
          ValueError: if a site carries no touch sensor, nothing of its body collides, or the force
            is not positive.
        """
        if not min_contact_force > 0.0:
            raise ValueError(
                f"{asked_by}(min_contact_force={min_contact_force!r}): min_contact_force must be"
                " positive. Write min_contact_force=1.0, for instance."
            )
        mj_model = model.mj_model
        site_ids = find_all(model, "site", feet, asked_by)
        body_ids = tuple(int(mj_model.site_bodyid[site_id]) for site_id in site_ids)
        return cls(
            names=tuple(feet),
            site_ids=site_ids,
            body_ids=body_ids,
            root_ids=tuple(int(mj_model.body_rootid[body_id]) for body_id in body_ids),
            sensor_ids=tuple(
                _touch_sensor(mj_model, site_id, name, asked_by)
                for site_id, name in zip(site_ids, feet, strict=True)
            ),
            min_contact_force=float(min_contact_force),
        )

    def __len__(self) -> int:
        return len(self.names)

    def is_in_contact(self, physics: PhysicsData) -> Bool[Array, "feet"]:
        """Whether each foot pressed on something in the last substep; false after a reset."""
        return physics.sensordata[np.array(self.sensor_ids)] >= self.min_contact_force

    def velocities(self, physics: PhysicsData) -> Float[Array, "feet 3"]:
        """Velocity of each foot's site in the world's frame, m/s."""
        arms = physics.site_xpos[np.array(self.site_ids)]
        arms = arms - physics.subtree_com[np.array(self.root_ids)]
        return velocity_at(physics.cvel[np.array(self.body_ids)], arms)


def _touch_sensor(mj_model: mujoco.MjModel, site_id: int, name: str, asked_by: str) -> int:
    """Returns where the value of a site's touch sensor stands in `sensordata`."""
    is_touch = mj_model.sensor_type == mujoco.mjtSensor.mjSENS_TOUCH
    (sensors,) = np.nonzero(is_touch & (mj_model.sensor_objid == site_id))
    if not len(sensors):
        raise ValueError(
            f'{asked_by}(site="{name}"): the site has no touch sensor.'
            f' Write <sensor><touch site="{name}"/></sensor> in the MJCF.'
        )
    if not _is_colliding(mj_model, int(mj_model.site_bodyid[site_id])):
        body = mj_model.body(mj_model.site_bodyid[site_id]).name
        raise ValueError(
            f'{asked_by}(site="{name}"): no geom of its body "{body}" collides, so its touch sensor'
            " would always be 0. Move the site to the body that has the foot's geom."
        )
    return int(mj_model.sensor_adr[sensors[0]])


def _is_colliding(mj_model: mujoco.MjModel, body_id: int) -> bool:
    """Whether a geom of a body takes part in collisions."""
    start, count = mj_model.body_geomadr[body_id], mj_model.body_geomnum[body_id]
    geoms = np.arange(start, start + count)
    is_in_pair = np.isin(geoms, [mj_model.pair_geom1, mj_model.pair_geom2])
    is_filtered = (mj_model.geom_contype[geoms] == 0) & (mj_model.geom_conaffinity[geoms] == 0)
    return bool(np.any(is_in_pair | ~is_filtered))
