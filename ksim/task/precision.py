"""In which precision networks multiply, as the options say and the processor does well."""

from pathlib import Path

CPU_DESCRIPTION = Path("/proc/cpuinfo")
INSTRUCTIONS = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512 BF16"}
"""What multiplies bfloat16 faster than float32, by Linux's name of it, the fastest first.

With AMX, products took a quarter of the time of float32. With AVX-512 BF16 (an AMD EPYC), updates
of the walking task took half of it: 33 ms instead of 67 (jax 0.9.2), 34 instead of 79 (0.12).
"""


def settle_matmul_precision(option: str, platform: str) -> tuple[str, str]:
    """Returns `float32` or `bfloat16`, and why.

    Args:
      option: the option `matmul_precision`.
      platform: what JAX calls the devices of the run, such as `cpu`.
    """
    if option != "auto":
        return option, "as asked for."
    if platform != "cpu":
        return (
            "float32",
            f"matmul_precision=auto rounds on x86 cores only; the devices are {platform}.",
        )
    instructions = bfloat16_instructions()
    if instructions is None:
        names = " nor ".join(INSTRUCTIONS.values())
        return "float32", f"matmul_precision=auto, and the cores have neither {names}."
    return "bfloat16", f"matmul_precision=auto, and the cores have {instructions}."


def bfloat16_instructions() -> str | None:
    """Returns what the cores multiply matrices of bfloat16 with, if anything (Linux on x86)."""
    try:
        description = CPU_DESCRIPTION.read_text()
    except OSError:
        return None
    lines = [line for line in description.splitlines() if line.startswith("flags")]
    flags = set(" ".join(lines).split())
    return next((name for flag, name in INSTRUCTIONS.items() if flag in flags), None)
