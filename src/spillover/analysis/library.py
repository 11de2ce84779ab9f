"""Whether the optional library for sparse autoencoders is there; imports nothing heavy, so that a run can ask first."""

import importlib.util

from spillover.core.errors import ModelError

USED_BY = ("sae", "features")
"""Kinds of stages that need it."""


def need_library() -> None:
    """Make sure that it is installed.

    Raises:
        ModelError: It is not.
    """
    if importlib.util.find_spec("sparsify") is None:
        raise ModelError("sparse autoencoders need eai-sparsify: pip install 'spillover[sae]'")
