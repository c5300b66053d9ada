"""The wheel, in an empty environment and an empty directory: what users get, not the clone.

Builds it as `make wheel` does. Installing what it needs takes minutes, once for this file.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import ksim

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]


def run(*command, folder, succeeds=True):
    """Runs a command as a user does who has never seen the clone; returns what it printed."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    finished = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=kept | {"JAX_PLATFORMS": "cpu", "XDG_CACHE_HOME": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (finished.returncode == 0) == succeeds, finished.stdout + finished.stderr
    return finished.stdout + finished.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT, folder=folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The Python of an environment that has the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder, folder=folder)
    python = folder / "bin" / "python"
    pip = (python, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "install", "-c", ROOT / "constraints.txt", wheel, folder=folder)
    return python


def test_it_holds_the_package_and_nothing_else(wheel):
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = (path for path in (ROOT / "ksim").rglob("*") if path.is_file())
    assert held == {
        path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts
    }
    assert {"ksim/__init__.pyi", "ksim/py.typed", "ksim/assets/humanoid.xml"} <= held
    assert wheel.name == f"ksim-{ksim.__version__}-py3-none-any.whl"


def test_the_import_takes_no_time_and_no_jax(python, tmp_path):
    code = """
import sys, time
start = time.perf_counter()
import ksim
seconds = time.perf_counter() - start
print(seconds, ksim.__file__, *sorted({"jax", "jaxlib", "mujoco", "numpy"} & set(sys.modules)))
"""
    times = []
    for _ in range(5):
        seconds, path, *heavy = run(python, "-c", code, folder=tmp_path).split()
        times.append(float(seconds))
        assert not heavy
        assert not Path(path).is_relative_to(ROOT)
    print(f"import ksim: {min(times):.3f} s")
    assert min(times) < 0.1  # 0.01 s on a quiet machine


def test_a_public_name_starts_no_backend(python, tmp_path):
    code = """
import ksim
[getattr(ksim, name) for name in dir(ksim)]
from ksim.xla.backend import has_jax_started
print(has_jax_started())
"""
    assert run(python, "-c", code, folder=tmp_path).split()[-1] == "False"


def test_the_command_works(python, tmp_path):
    ksim_command = python.parent / "ksim"
    assert run(ksim_command, "--help", folder=tmp_path).startswith("usage: ksim COMMAND")
    assert run(ksim_command, "--version", folder=tmp_path) == f"ksim {ksim.__version__}\n"


@pytest.mark.parametrize("task_file", ["examples/cartpole.py", "tests/small_mujoco_task.py"])
def test_a_task_file_of_ones_own_trains(python, tmp_path, task_file):
    shutil.copy(ROOT / task_file, tmp_path / "my_task.py")
    run(python, "my_task.py", "max_steps=2", "run_dir=my_run", folder=tmp_path)
    lines = (tmp_path / "my_run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["iteration"] for line in lines] == [1, 2]


def test_type_checkers_see_the_public_names(python, tmp_path):
    (tmp_path / "typed.py").write_text("""
import ksim
version: str = ksim.__version__
number: int = ksim.CartPole().ctrl_dt
ksim.UprihgtReward
""")
    mypy = (sys.executable, "-m", "mypy", "--python-executable", python)
    found = run(*mypy, "typed.py", folder=tmp_path, succeeds=False).splitlines()
    assert found == [
        'typed.py:4: error: Incompatible types in assignment (expression has type "float",'
        ' variable has type "int")  [assignment]',
        'typed.py:5: error: Module has no attribute "UprihgtReward"; maybe "UprightReward"?'
        "  [attr-defined]",
        "Found 2 errors in 1 file (checked 1 source file)",
    ]
