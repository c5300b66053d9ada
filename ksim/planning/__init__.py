"""Planning: predicts the cost of a run on more devices than are at hand."""

from ksim.planning.cost_model import Cost, CostModel, Network, fit_cost_model
from ksim.planning.measurement import Measurement, read_measurement
from ksim.planning.scenario import Scenario

__all__ = [
    "Cost",
    "CostModel",
    "Measurement",
    "Network",
    "Scenario",
    "fit_cost_model",
    "read_measurement",
]
