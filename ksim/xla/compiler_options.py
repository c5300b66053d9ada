"""What XLA is told when it compiles for a CPU."""

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

SMALL_OPERATIONS: Mapping[str, Any] = MappingProxyType(
    {
        "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT",
        "xla_cpu_use_xnnpack": False,
    }
)
"""What XLA is told of physics in JAX: a thousand small operations.

Handed to YNNPACK and XNNPACK one by one they took a fifth longer (jax 0.12, 2 devices). The matrix
products alone are given to YNNPACK: without it they are slow if their operands are bfloat16 (jax
0.9, the walking task: rollouts took 12% longer).
"""

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
