"""Distributions, the observation normalizer and actor-critic networks; knows no environment."""

from ksim.nn.action_head import ActionHead, CategoricalHead, NormalHead
from ksim.nn.actor_critic import ActorCritic
from ksim.nn.convolution import ConvolutionalTrunk
from ksim.nn.distribution import Categorical, Distribution, Normal, TanhNormal
from ksim.nn.model import BoundModel, Model, ModelDefinition, ModelOutput, bind, unroll
from ksim.nn.network import GRU, MLP, Network, activation_function
from ksim.nn.normalizer import RunningMoments
from ksim.xla.bfloat16_product import rounded_dot_general

__all__ = [
    "GRU",
    "MLP",
    "ActionHead",
    "ActorCritic",
    "BoundModel",
    "Categorical",
    "CategoricalHead",
    "ConvolutionalTrunk",
    "Distribution",
    "Model",
    "ModelDefinition",
    "ModelOutput",
    "Network",
    "Normal",
    "NormalHead",
    "RunningMoments",
    "TanhNormal",
    "activation_function",
    "bind",
    "rounded_dot_general",
    "unroll",
]
