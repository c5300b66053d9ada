"""Everything that shapes the future of a run, in two pytrees: this one and `EnvState`."""

from typing import Any

from flax import struct
from jaxtyping import Array, Float, Int, Key

from ksim.nn import RunningMoments
from ksim.rl.algorithm import Learner


@struct.dataclass
class TrainState:
    """The part of a run that is the same on every device.

    Attributes:
      learner: state of the algorithm: networks, optimizer states, numbers.
      normalizer: moments of the observations; `None` if they are not normalized.
      curriculum_carry: the curriculum's memory.
      level: `[]` curriculum level, in [0, 1]; the mean if environments have levels of their own.
      iteration: `[]` int32 iterations finished.
      key: the key of the run; never consumed, only folded with numbers.
      run_memory: the environment's memory of the run; `()` if it has none.
    """

    learner: Learner
    normalizer: RunningMoments | None
    curriculum_carry: Any
    level: Float[Array, ""]
    iteration: Int[Array, ""]
    key: Key[Array, ""]
    run_memory: Any = ()
