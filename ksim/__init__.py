"""Distributed reinforcement learning for legged robots in MuJoCo and JAX.

The public names stand in `__init__.pyi`. Each is loaded when it is first used: a wrong option on
the command line is reported at once, not after the import of JAX and MuJoCo.
"""

import os

import lazy_loader

# Read when jaxlib is imported. On some processors jaxlib 0.9 logs, for every program from the
# compilation cache, errors of 2 kB about features that no instruction depends on. What is fatal
# is still logged, and what fails raises an exception.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
