"""Calls of MJX's Warp implementation, for the Warp engine."""

from collections.abc import Collection
from typing import Any, Protocol, runtime_checkable

import jax
import mujoco

from ksim.physics.engines.quiet_mjx import mjx


@runtime_checkable
class StepwiseMjx(Protocol):
    """An implementation of MJX that offers whole steps only."""

    def put_model(self, mj_model: mujoco.MjModel) -> Any:
        """Returns the `mjx.Model`."""
        ...

    def make_data(
        self, mj_model: mujoco.MjModel, naconmax: int | None = None, njmax: int | None = None
    ) -> Any:
        """Returns the `mjx.Data` of one environment.

        Args:
          mj_model: the model.
          naconmax: contacts that it holds, of all environments that are stepped together; `None`
            takes the implementation's rule, which is for one environment.
          njmax: constraint rows that it holds, of one environment; `None` takes the rule.
        """
        ...

    def room(self, data: Any) -> tuple[int, int]:
        """Returns the contacts and the constraint rows that an `mjx.Data` holds."""
        ...

    def batched_fields(self, model: Any) -> Collection[str]:
        """Returns the fields of the model in which environments may differ."""
        ...

    def step(self, model: Any, data: Any) -> Any:
        """Computes everything from the state, and advances the state by one physics step."""
        ...

    def forward(self, model: Any, data: Any) -> Any:
        """Computes everything from the state."""
        ...


class WarpFunctions:
    """Calls MuJoCo Warp, as MJX 3.17 wraps it."""

    def __init__(self, graph_mode: str | None) -> None:
        """Prepares the calls.

        Args:
          graph_mode: the way CUDA graphs are captured: `warp`, `warp_staged_ex` or `warp_staged`;
            `None` for none, on a CPU.
        """
        self._graph_mode = graph_mode

    def put_model(self, mj_model: mujoco.MjModel) -> Any:
        """See `StepwiseMjx.put_model`."""
        import warp
        from mujoco.mjx.third_party.mujoco_warp import OverflowType

        # It would print a line for each of its kernels,
        warp.config.log_level = warp.LOG_WARNING
        mode = None
        if self._graph_mode is not None:
            mode = warp.JaxCallableGraphMode[self._graph_mode.upper()]
        model = mjx.put_model(mj_model, graph_mode=mode, **_placement())
        # and one for every step in which the solver takes all iterations, few as they should be.
        # What it prints when contacts do not fit is left.
        few_iterations = OverflowType.ITERATIONS | OverflowType.LS_ITERATIONS
        warnings = int(model.opt._impl.warn_overflow) & ~int(few_iterations)
        return model.tree_replace({"opt._impl.warn_overflow": warnings})

    def make_data(
        self, mj_model: mujoco.MjModel, naconmax: int | None = None, njmax: int | None = None
    ) -> Any:
        """See `StepwiseMjx.make_data`."""
        return mjx.make_data(mj_model, naconmax=naconmax, njmax=njmax, **_placement())

    def room(self, data: Any) -> tuple[int, int]:
        """See `StepwiseMjx.room`."""
        return int(data._impl.naconmax), int(data._impl.njmax)

    def batched_fields(self, model: Any) -> Collection[str]:
        """See `StepwiseMjx.batched_fields`."""
        is_batched = mjx.warp.types._BATCH_DIM["Model"]
        return [name for name in vars(model) if is_batched.get(name, False)]

    def step(self, model: Any, data: Any) -> Any:
        """See `StepwiseMjx.step`."""
        return mjx.step(model, data)

    def forward(self, model: Any, data: Any) -> Any:
        """See `StepwiseMjx.forward`."""
        return mjx.forward(model, data)


def _placement() -> dict[str, Any]:
    return {"impl": "warp", "device": jax.local_devices()[0]}
