"""In which precision networks multiply, as the options say and the processor does well."""

from pathlib import Path

CPU_DESCRIPTION = Path("/proc/cpuinfo")
AMX = "amx_bf16"


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
    if has_amx():
        return "bfloat16", "matmul_precision=auto, and the cores have AMX."
    return "float32", "matmul_precision=auto, and the cores have no AMX."


def has_amx() -> bool:
    """Returns whether the cores multiply matrices of bfloat16 in hardware (Linux on x86)."""
    try:
        description = CPU_DESCRIPTION.read_text()
    except OSError:
        return False
    return any(AMX in line.split() for line in description.splitlines() if line.startswith("flags"))
