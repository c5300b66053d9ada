"""Stands in for Warp: MJX's own implementation, of which only whole steps are used."""

import jax
import numpy as np
from mujoco import mjx

CONTACTS, ROWS = 5, 7


class StepwiseJax:
    """Notes what it was asked for.

    Attributes:
      asked_for: the contacts and constraint rows of each data that was made.
      models: the models that were stepped, while they were traced.
    """

    def __init__(self):
        self.asked_for = []
        self.models = []

    def put_model(self, mj_model):
        return mjx.put_model(mj_model, **_placement())

    def make_data(self, mj_model, naconmax=None, njmax=None):
        self.asked_for.append((naconmax, njmax))
        return mjx.make_data(mj_model, **_placement())

    def room(self, data):
        return CONTACTS, ROWS

    def batched_fields(self, model):
        return [name for name in vars(model) if isinstance(getattr(model, name), np.ndarray)]

    def step(self, model, data):
        self.models.append(model)
        return mjx.step(model, data)

    def forward(self, model, data):
        return mjx.forward(model, data)


def _placement():
    return {"impl": "jax", "device": jax.local_devices()[0]}
