"""What Lightning's users import from its `utilities`; each name is loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_NAMES = {
    "AttributeDict": "litify.hparams",
    "CombinedLoader": "litify.combined_loader",
    "GradClipAlgorithmType": "litify.precision.base",
    "clean_namespace": "litify.hparams",
    "find_shared_parameters": "litify.utilities.parameter_tying",
    "grad_norm": "litify.utilities.grads",
    "has_len_all_ranks": "litify.data",
    "is_picklable": "litify.hparams",
    "Throughput": "litify.utilities.throughput",
    "measure_flops": "litify.utilities.throughput",
    "rank_zero_only": "litify.rank_zero",
    "recursive_detach": "litify.utilities.memory",
    "set_shared_parameters": "litify.utilities.parameter_tying",
    "summarize": "litify.utilities.model_summary",
}
__all__ = list(_NAMES)


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'litify.utilities' has no attribute {name!r}")
    return getattr(import_module(_NAMES[name]), name)
