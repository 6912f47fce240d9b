"""Letting go of graphs and of device memory."""

from __future__ import annotations

import gc
from typing import Any

import torch

from litify.transfer import apply


def recursive_detach(in_dict: Any, to_cpu: bool = False) -> Any:
    """A copy of nested containers with every tensor detached, and on the CPU where asked."""
    return apply(in_dict, lambda tensor: tensor.detach().cpu() if to_cpu else tensor.detach())


def garbage_collection_cuda() -> None:
    """Collect what nobody refers to, and give cached GPU memory back."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
