"""What XLA is told when it compiles for a CPU.

What an environment asks for its rollouts stands with its engine.
"""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax

RUN_ONCE: Mapping[str, Any] = MappingProxyType(
    {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
)
"""For a program that runs once: compiling it takes longer than running it."""

UPDATE: Mapping[str, Any] = MappingProxyType({"xla_llvm_disable_expensive_passes": True})
"""For what learns: compiled 0.3 s sooner, the update of the walking task ran as fast."""

_REMOVED_IN: Mapping[str, tuple[int, int]] = {"xla_cpu_use_fusion_emitters": (0, 10)}
"""Options that XLA has no more, and the version of JAX from which they are kept from it.

jax 0.9 knows this one and 0.12 refuses it; those between were not tried.
"""


def heard_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options that XLA is to be given.

    Left out are those that `XLA_FLAGS` gives, which have the last word, and those that the XLA
    at hand has no more.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    return {
        name: value
        for name, value in options.items()
        if f"--{name}=" not in flags
        and (name not in _REMOVED_IN or jax.__version_info__ < _REMOVED_IN[name])
    }
