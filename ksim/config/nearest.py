"""Messages for a name that does not exist: the known names, and the one probably meant."""

import difflib
from collections.abc import Iterable

_LISTED = 20  # names; a humanoid has more bodies than anyone reads in an error


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Returns the known name most like `name`, ignoring case; `None` if none is like it."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[matches[0]] if matches else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns ` Did you mean "..."?` with the nearest known name, or an empty text."""
    guess = nearest(name, known)
    return "" if guess is None else f' Did you mean "{guess}"?'


def unknown_name_message(
    name: str,
    known: Iterable[str],
    *,
    kind: str,
    place: str = "in the model",
) -> str:
    """Returns a message that `name` does not exist, with the names that do, and the nearest.

    `unknown_name_message("torsoo", bodies, kind="body")` is
    `no such body in the model. Bodies: torso, pelvis. Did you mean "torso"?`; the caller puts
    what was asked for in front of it, as in `UprightReward(body="torsoo"): `.

    Args:
      name: the name that was asked for.
      known: the names that exist, in the order in which they are to be listed.
      kind: the kind of thing named, in the singular.
      place: the place where it was looked for.

    Returns:
      One line; of a long list only the first names, and their number.
    """
    names = list(known)
    plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
    if not names:
        return f"no such {kind} {place}: there are no {plural}."
    listing = ", ".join(names[:_LISTED])
    if len(names) > _LISTED:
        listing += f", ... ({len(names)} in all)"
    heading = plural[0].upper() + plural[1:]
    return f"no such {kind} {place}. {heading}: {listing}.{did_you_mean(name, names)}"
