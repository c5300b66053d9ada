"""Rollout, advantages, losses and updates: pure functions over arrays of one device."""

from ksim.rl.algorithm import Algorithm, Learner
from ksim.rl.gae import generalized_advantages
from ksim.rl.learning_rate import LearningRateSchedule
from ksim.rl.minibatches import minibatch_members
from ksim.rl.optimizers import clip_by_global_norm
from ksim.rl.policy import Decision, Policy, normalize
from ksim.rl.ppo import PPO, Batch
from ksim.rl.ppo_loss import PPOCoefficients, PPOSamples, ppo_loss
from ksim.rl.rollout import rollout
from ksim.rl.trajectory import EnvState, RolloutStatistics, Trajectory, initial_env_state

__all__ = [
    "PPO",
    "Algorithm",
    "Batch",
    "Decision",
    "EnvState",
    "Learner",
    "LearningRateSchedule",
    "PPOCoefficients",
    "PPOSamples",
    "Policy",
    "RolloutStatistics",
    "Trajectory",
    "clip_by_global_norm",
    "generalized_advantages",
    "initial_env_state",
    "minibatch_members",
    "normalize",
    "ppo_loss",
    "rollout",
]
