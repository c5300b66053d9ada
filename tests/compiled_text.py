"""Reading what a compiled program communicates."""

import math
import re
from typing import NamedTuple

_NAMES = "all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute|collective-broadcast"


class Collective(NamedTuple):
    """One collective in a compiled program.

    Attributes:
      name: as XLA calls it; a reduction with the operation, as in `all-reduce add`.
      dtype: the type on the wire.
      size: the numbers of its result.
    """

    name: str
    dtype: str
    size: int


def collectives_in(executable):
    """Every collective in a compiled program, one entry for each dtype of its results."""
    text = executable.as_text()
    operations = dict(
        re.findall(
            r"^%?([\w.-]+) \([^\n]*\{\n(?:(?!^\}).*\n)*?  ROOT \S+ = \S+ (\w+)\(", text, re.M
        )
    )
    found = []
    for line in text.splitlines():
        match = re.search(rf"= (.*?) ({_NAMES})(?:-start)?\(", line)
        if match is None:
            continue
        sizes = {}
        for dtype, shape in re.findall(r"(\w+)\[([\d,]*)\]", match[1]):
            size = math.prod(int(length) for length in shape.split(",") if length)
            sizes[dtype] = sizes.get(dtype, 0) + size
        reduction = re.search(r"to_apply=%?([\w.-]+)", line)
        name = f"{match[2]} {operations[reduction[1]]}" if reduction else match[2]
        found += [Collective(name, dtype, size) for dtype, size in sizes.items()]
    return found
