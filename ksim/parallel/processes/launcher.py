"""What a process tells `python -m ksim.launch`, if that has started it."""

import contextlib
import json
import os

REPORT_VARIABLE = "KSIM_LAUNCH_REPORT_FD"


def report_to_launcher(run_dir: str, step: int) -> None:
    """Says where the run is and which checkpoint is its newest, so that a restart continues it.

    Args:
      run_dir: the run's directory.
      step: iterations that the newest checkpoint holds; 0 if there is none.
    """
    number = os.environ.get(REPORT_VARIABLE)
    if number is None:
        return
    line = json.dumps({"run_dir": os.path.abspath(run_dir), "step": step})  # noqa: PTH100
    with contextlib.suppress(OSError, ValueError):  # a launcher that is gone
        os.write(int(number), f"{line}\n".encode())
