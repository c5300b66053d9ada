"""Rollout, advantages, losses and updates: pure functions over arrays of one device."""

from ksim.rl.algorithm import Algorithm, Iteration
from ksim.rl.batch import Batch
from ksim.rl.extensions import Extension, MirrorImages
from ksim.rl.gae import generalized_advantages
from ksim.rl.learning_rate import LearningRateSchedule
from ksim.rl.minibatches import minibatch_members
from ksim.rl.optimizers import clip_by_global_norm
from ksim.rl.policy import ActorCriticPolicy, Decision, Policy, normalize
from ksim.rl.ppo import PPO, PPOLearner
from ksim.rl.ppo_loss import PPOCoefficients, PPOSamples, ppo_loss
from ksim.rl.rollout import rollout
from ksim.rl.trajectory import EnvState, RolloutStatistics, Trajectory, initial_env_state
from ksim.rl.updates import Network, Updates

__all__ = [
    "PPO",
    "ActorCriticPolicy",
    "Algorithm",
    "Batch",
    "Decision",
    "EnvState",
    "Extension",
    "Iteration",
    "LearningRateSchedule",
    "MirrorImages",
    "Network",
    "PPOCoefficients",
    "PPOLearner",
    "PPOSamples",
    "Policy",
    "RolloutStatistics",
    "Trajectory",
    "Updates",
    "clip_by_global_norm",
    "generalized_advantages",
    "initial_env_state",
    "minibatch_members",
    "normalize",
    "ppo_loss",
    "rollout",
]
