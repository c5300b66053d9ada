"""Reports a run to `python -m ksim.launch`, if that has started the process."""

import contextlib
import json
import os

from ksim.config.launched import REPORT_VARIABLE


def report_to_launcher(run_dir: str, step: int) -> None:
    """Reports the run's directory and its newest checkpoint, so that a restart continues it.

    Args:
      run_dir: the run's directory.
      step: iterations in the newest checkpoint; 0 without a checkpoint.
    """
    number = os.environ.get(REPORT_VARIABLE)
    if number is None:
        return
    line = json.dumps({"run_dir": os.path.abspath(run_dir), "step": step})  # noqa: PTH100
    with contextlib.suppress(OSError, ValueError):  # a launcher that is gone
        os.write(int(number), f"{line}\n".encode())
