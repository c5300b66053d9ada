"""Data of a simulation as terms read it, and records of what they read."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax
from jaxtyping import Array, Float

from ksim.config import unknown_name_message


@runtime_checkable
class PhysicsData(Protocol):
    """The state of one simulation: the fields of MuJoCo's `mjData`, by their MuJoCo names.

    Position- and velocity-dependent fields are current when a term reads them. Fields of the
    acceleration stage (`actuator_force`, `qfrc_actuator`, touch and accelerometer values in
    `sensordata`) tell of the last substep, and are zero right after a reset. Units are MuJoCo's:
    metres, radians, seconds, newtons.
    """

    time: Float[Array, ""]
    qpos: Float[Array, "nq"]
    qvel: Float[Array, "nv"]
    ctrl: Float[Array, "nu"]
    xpos: Float[Array, "nbody 3"]
    xquat: Float[Array, "nbody 4"]
    xmat: Float[Array, "nbody 3 3"]
    xipos: Float[Array, "nbody 3"]
    ximat: Float[Array, "nbody 3 3"]
    geom_xpos: Float[Array, "ngeom 3"]
    site_xpos: Float[Array, "nsite 3"]
    site_xmat: Float[Array, "nsite 3 3"]
    subtree_com: Float[Array, "nbody 3"]
    cvel: Float[Array, "nbody 6"]
    actuator_force: Float[Array, "nu"]
    qfrc_actuator: Float[Array, "nv"]
    sensordata: Float[Array, "nsensordata"]

    def replace(self, **fields: Any) -> "PhysicsData":
        """Returns a copy with some fields replaced."""
        ...


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NamedFields(PhysicsData):
    """The fields of `mjData` that are read, as attributes in single precision.

    Attributes:
      fields: the values by MuJoCo's name.
    """

    fields: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        """Returns a field; called for names that are no attribute."""
        fields = self.__dict__.get("fields", {})
        if name in fields:
            return fields[name]
        if name.startswith("_"):
            raise AttributeError(name)
        message = unknown_name_message(
            name, fields, kind="field", place="in this simulation's data"
        )
        raise AttributeError(f"physics.{name}: {message}")

    def replace(self, **fields: Any) -> "NamedFields":
        """Returns a copy with some fields replaced; the next step continues from them."""
        return dataclasses.replace(self, fields={**self.fields, **fields})


class FieldsRead:
    """Names of fields that were read, by any holder of this object.

    Attributes:
      names: the names.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()


@jax.tree_util.register_pytree_node_class
class ReadRecorder(PhysicsData):
    """Stands in for a simulation's data, and remembers which fields are read.

    It is a pytree, as the data is; copies of it record in the same place.

    Attributes:
      fields_read: the names that were read.
    """

    def __init__(self, data: PhysicsData, fields_read: FieldsRead) -> None:
        """Adds to `fields_read` the names of fields read of `data`, from now on."""
        self._data = data
        self.fields_read = fields_read

    def __getattr__(self, name: str) -> Any:
        """Returns a field of the data."""
        value = getattr(self._data, name)
        self.fields_read.names.add(name)
        return value

    def replace(self, **fields: Any) -> "ReadRecorder":
        """See `PhysicsData.replace`."""
        return ReadRecorder(self._data.replace(**fields), self.fields_read)  # type: ignore[abstract]

    def tree_flatten(self) -> tuple[tuple[PhysicsData], FieldsRead]:
        """Returns the data as child, and as auxiliary data the record, which all copies share."""
        return (self._data,), self.fields_read

    @classmethod
    def tree_unflatten(
        cls, fields_read: FieldsRead, children: tuple[PhysicsData]
    ) -> "ReadRecorder":
        """Returns a recorder of other data with the same record."""
        return cls(children[0], fields_read)  # type: ignore[abstract]
