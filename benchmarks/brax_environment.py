"""The virtual environment that brax runs in, apart from ksim's own.

brax 0.14.2 needs a JAX older than ksim's (its PPO calls `jax.device_put_replicated`, which JAX
0.10 removed), so the two cannot share an environment. `python benchmarks/brax_environment.py`
creates `benchmarks/.brax/` with the versions of `brax_constraints.txt` and prints its Python.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

BRAX_ENVIRONMENT = Path(__file__).resolve().parent / ".brax"
BRAX_CONSTRAINTS = Path(__file__).resolve().parent / "brax_constraints.txt"
BRAX_PACKAGES = ("brax", "jax", "mujoco", "mujoco-mjx")


def ensure_brax_python(
    directory: Path = BRAX_ENVIRONMENT, constraints: Path = BRAX_CONSTRAINTS
) -> Path:
    """Returns the Python interpreter of brax's environment, and creates it where needed.

    The environment is made with the interpreter that runs this. It is kept until the constraints or
    that interpreter's version change. A half-finished one is made again: the record of its
    constraints is written last.

    Args:
      directory: where the environment is, or will be; replaced as a whole when it is out of date.
      constraints: file of `name==version` lines, one for every package of the environment.

    Returns:
      The path of the environment's Python.

    Raises:
      subprocess.CalledProcessError: if pip could not install the packages; its output says why.
    """
    python = directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    record = directory / "made-from.txt"
    made_from = f"# Python {sys.version.split()[0]}\n{constraints.read_text()}"
    if record.is_file() and record.read_text() == made_from and python.exists():
        return python
    print(f"Creating brax's environment in {directory} (about a minute).", file=sys.stderr)
    venv.create(directory, clear=True, symlinks=os.name != "nt", with_pip=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--constraint", str(constraints)]
    # pip's own output goes to stderr: stdout carries nothing but the answer.
    subprocess.run([*install, *BRAX_PACKAGES], check=True, stdout=sys.stderr)
    record.write_text(made_from)
    return python


if __name__ == "__main__":
    print(ensure_brax_python())
