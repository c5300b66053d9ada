"""Steps simulations of one model with native MuJoCo, on the threads of the host."""

import copy
import hashlib
import queue
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np

from ksim.physics.engines.base import EpisodeStart
from ksim.physics.engines.default_data import DefaultData
from ksim.physics.engines.native.simulations import Simulations
from ksim.physics.model import PhysicsModel


class NativeStepper:
    """Makes control steps of any number of simulations; remembers nothing between two calls.

    Attributes:
      name: differs between steppers whose results or speed may differ; the same in every process.
    """

    def __init__(self, model: PhysicsModel, num_threads: int, default: DefaultData) -> None:
        """Prepares the simulations; computes nothing.

        Args:
          model: the model.
          num_threads: threads for the simulations of one call.
          default: the model's default state.
        """
        self.name = _name(model, num_threads)
        # A copy of its own: something with a name must not change.
        self._mj_model = copy.copy(model.mj_model)
        self._num_substeps = model.num_substeps
        self._num_threads = num_threads
        self._default = default
        # Devices call at the same time, and a batch serves one call at a time.
        self._idle: dict[Any, queue.LifoQueue[Simulations]] = defaultdict(queue.LifoQueue)

    def __call__(self, results: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
        """Writes the next data of all simulations: every array is `[num_simulations, ...]`.

        Args:
          results: `state` and `fields` of `NativeData`.
          arguments: the `state`; the fields that were `written` since; `ctrl`; where `is_reset`,
            the `start`; and the fields of the `model` in which simulations differ.
        """
        fields, is_reset = results["fields"], arguments["is_reset"]
        idle = self._idle[len(is_reset), tuple(fields), tuple(arguments["model"])]
        try:
            simulations = idle.get_nowait()
        except queue.Empty:
            simulations = Simulations(
                self._mj_model, len(is_reset), self._num_threads, fields, arguments["model"]
            )
        simulations.set_model_fields(arguments["model"])
        simulations.set_state(arguments["state"].view(np.float64), arguments["written"])
        new = np.flatnonzero(is_reset)
        if new.size:
            simulations.start(new, self._default.state, EpisodeStart(**arguments["start"]))
        rejected = simulations.step(~is_reset, arguments["ctrl"], self._num_substeps)
        simulations.read(results["state"], fields)
        idle.put(simulations)
        if new.size:
            for name, mask in self._default.is_of_last_substep.items():
                if name in fields:
                    fields[name][new] = np.where(mask, 0, fields[name][new])
        if rejected.size:
            fields["qpos"][rejected] = np.nan
            fields["qvel"][rejected] = np.nan


def _name(model: PhysicsModel, num_threads: int) -> str:
    mj_model = model.mj_model
    content = np.empty(mujoco.mj_sizeModel(mj_model), np.uint8)
    mujoco.mj_saveModel(mj_model, None, content)
    digest = hashlib.sha256(content.data).hexdigest()
    return f"native {digest}, {model.num_substeps} substeps, {num_threads} threads"
