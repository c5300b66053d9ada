"""Distributed reinforcement learning for legged robots in MuJoCo and JAX.

The public names stand in `__init__.pyi`. Each is loaded when it is first used: a wrong option on
the command line is reported at once, not after the import of JAX and MuJoCo.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
