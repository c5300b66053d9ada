"""Looks up the parts of a model that a task names."""

from ksim.physics import MovingFrame, PhysicsModel, match_names, moving_frame

Names = tuple[str, ...] | list[str]
"""Names of parts of the model, or patterns, in which `*` stands for any letters, as
`("*_knee", "waist")`; a single one is written `("left_foot",)`."""


def find_frame(model: PhysicsModel, body: str | None, asked_by: str) -> MovingFrame:
    """Returns the frame of a body, with its pose and velocity; `None` stands for the floating base.

    Raises:
      KeyError: if there is no such body.
      ValueError: if the base is asked for and the model has none.
    """
    if body is None:
        known = [name for name in model.names("body") if name != "world"]
        return model.joints.require_base(asked_by, f'body="{(known or ["torso"])[0]}"')
    return moving_frame(model.mj_model, model.find("body", body, asked_by))


def find_body(model: PhysicsModel, body: str | None, asked_by: str) -> int:
    """Returns the id of a body; `None` stands for the floating base. Raises as `find_frame`."""
    return find_frame(model, body, asked_by).body_id


def find_all(model: PhysicsModel, kind: str, names: Names, asked_by: str) -> tuple[int, ...]:
    """Returns the ids of named parts of the model.

    Args:
      model: the model.
      kind: `body`, `geom`, `site`, `sensor` or `actuator`.
      names: their names in the MJCF, or patterns; at least one.
      asked_by: the class that asks, for the error message.

    Raises:
      KeyError: if a name does not exist, or a pattern fits none.
      TypeError: if the names are a single text.
      ValueError: if no name is given, or one is given twice.
    """
    known = model.names(kind)
    if kind == "body":
        known = known[1:]  # without the world, whose body is no part of the robot
    names = match_names(names, known, kind, asked_by)
    if not names:
        raise ValueError(
            f"{asked_by}: name at least one {kind}."
            f" The model has: {', '.join(model.names(kind)) or 'none'}."
        )
    return tuple(model.find(kind, name, asked_by) for name in names)
