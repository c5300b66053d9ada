"""Imports MJX without the line that it prints for each optional package that is not installed."""

import contextlib
import io

with contextlib.redirect_stdout(io.StringIO()):
    from mujoco import mjx

__all__ = ["mjx"]
