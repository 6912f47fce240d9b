"""Norms of gradients, to log."""

from __future__ import annotations

import torch
from torch import nn


def grad_norm(
    module: nn.Module, norm_type: float | int | str, group_separator: str = "/"
) -> dict[str, float]:
    """The norm of each parameter's gradient, and of all together; empty where there are no gradients.

    Args:
        norm_type: p of the p-norm, or "inf".
        group_separator: what stands between "grad_p_norm" and the parameter's name.

    Raises:
        ValueError: `norm_type` is not above 0.
    """
    p = float(norm_type)
    if p <= 0:
        raise ValueError(f"grad_norm(norm_type={norm_type!r}): pass a number above 0, or 'inf'.")
    norms = {
        f"grad_{p}_norm{group_separator}{name}": parameter.grad.detach().norm(p)
        for name, parameter in module.named_parameters()
        if parameter.grad is not None
    }
    if norms:
        norms[f"grad_{p}_norm_total"] = torch.stack(list(norms.values())).norm(p)
    return {name: norm.item() for name, norm in norms.items()}
