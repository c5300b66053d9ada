"""Tells XLA how to compile for a CPU: options for each call of the compiler.

XLA compiles everything as well as it can, however seldom it runs and however small its operations
are. Its options are undocumented and change: one that XLA refuses is left out. Written for jax
0.9.2 and 0.12.0.
"""

import os
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax

from ksim.xla.fallback import warn_of_plain_way

RUN_ONCE: Mapping[str, Any] = MappingProxyType(
    {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
)
"""For a program that runs once: compiling it takes longer than running it."""

UPDATE: Mapping[str, Any] = MappingProxyType({"xla_llvm_disable_expensive_passes": True})
"""For updates: compiled 0.3 s sooner, the update of the walking task ran as fast."""

HOST_CALLS: Mapping[str, Any] = MappingProxyType(
    {"xla_backend_optimization_level": 1, "xla_cpu_use_fusion_emitters": False}
)
"""For a program that spends most of its time in a function of the host, as in native MuJoCo.

Optimized less, the humanoid's rollout was compiled with three quarters of the processor time, and
ran as fast (medians of 30 within 1%). With fusions lowered by XLA itself, not by way of MLIR, the
first update came another 1.0 to 1.5 s sooner (jax 0.9; 0.12 has no choice).
"""

SMALL_OPERATIONS: Mapping[str, Any] = MappingProxyType(
    {
        "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT",
        "xla_cpu_use_xnnpack": False,
    }
)
"""For physics in JAX: a thousand small operations.

Handed to YNNPACK and XNNPACK one by one they took a fifth longer (jax 0.12, 2 devices). The matrix
products alone are given to YNNPACK: without it they are slow if their operands are bfloat16 (jax
0.9, the walking task: rollouts took 12% longer).
"""

_REMOVED_IN: Mapping[str, tuple[int, int]] = {"xla_cpu_use_fusion_emitters": (0, 10)}
"""Options that XLA has dropped, and the first version of JAX that is not given them.

jax 0.9 knows this one and 0.12 refuses it; those between were not tried.
"""


def compile_with(lowered: Any, options: Mapping[str, Any]) -> Any:
    """Compiles a lowered program with options, without those that XLA refuses.

    Args:
      lowered: result of `jax.jit(...).lower(...)`.
      options: options by name; see `heard_options`.

    Returns:
      The compiled program.
    """
    heard = heard_options(options)
    while True:
        try:
            return lowered.compile(compiler_options=heard)
        except jax.errors.JaxRuntimeError as error:
            refused = {name for name in heard if re.search(rf"option:? '?{name}\b", str(error))}
            if not refused:
                raise
            warn_of_plain_way(
                f"the compiler options {', '.join(sorted(refused))} ({error})",
                "XLA compiles as it does by itself, which may be slower",
            )
            heard = {name: value for name, value in heard.items() if name not in refused}


def heard_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options to give to XLA.

    Options in `XLA_FLAGS`, which have the last word, are left out, and so are options that this
    XLA has dropped.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    return {
        name: value
        for name, value in options.items()
        if f"--{name}=" not in flags
        and (name not in _REMOVED_IN or jax.__version_info__ < _REMOVED_IN[name])
    }
