"""What Lightning's users import from its `utilities`; each name is loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_NAMES = {
    "AttributeDict": "litify.hparams",
    "CombinedLoader": "litify.combined_loader",
    "GradClipAlgorithmType": "litify.precision.base",
    "clean_namespace": "litify.hparams",
    "disable_possible_user_warnings": "litify.rank_zero",
    "find_shared_parameters": "litify.utilities.parameter_tying",
    "grad_norm": "litify.utilities.grads",
    "has_iterable_dataset": "litify.data",
    "has_len_all_ranks": "litify.data",
    "is_overridden": "litify.hooks",
    "is_picklable": "litify.hparams",
    "isolate_rng": "litify.seed",
    "Throughput": "litify.utilities.throughput",
    "measure_flops": "litify.utilities.throughput",
    "move_data_to_device": "litify.transfer",
    "rank_zero_debug": "litify.rank_zero",
    "rank_zero_deprecation": "litify.rank_zero",
    "rank_zero_info": "litify.rank_zero",
    "rank_zero_only": "litify.rank_zero",
    "rank_zero_warn": "litify.rank_zero",
    "recursive_detach": "litify.utilities.memory",
    "set_shared_parameters": "litify.utilities.parameter_tying",
    "summarize": "litify.utilities.model_summary",
}
__all__ = list(_NAMES)


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'litify.utilities' has no attribute {name!r}")
    return getattr(import_module(_NAMES[name]), name)
