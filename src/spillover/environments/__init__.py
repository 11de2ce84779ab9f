"""Environments in which a model is trained by reward, each with a weak and a hardened grader."""

from spillover.environments.grade import Grade

__all__ = ["Grade"]
