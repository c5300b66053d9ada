"""Curricula: how hard the task is."""

from ksim.terms.curricula.base import Curriculum, EnvironmentCurriculum, EpisodeResult
from ksim.terms.curricula.constant import ConstantCurriculum
from ksim.terms.curricula.episode_length import EpisodeLengthCurriculum
from ksim.terms.curricula.linear import LinearCurriculum

__all__ = [
    "ConstantCurriculum",
    "Curriculum",
    "EnvironmentCurriculum",
    "EpisodeLengthCurriculum",
    "EpisodeResult",
    "LinearCurriculum",
]
