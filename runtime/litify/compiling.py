"""torch.compile for the networks that a LightningModule holds, in place: names and checkpoints stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from litify import flags

if TYPE_CHECKING:
    from litify.module import LightningModule

Compiler = Callable[[Callable[..., Any]], Callable[..., Any]]


def compiler_of(given: Any) -> Compiler | None:
    """What compiles: that of a module which torch.compile made, with its options; torch.compile after `litify run --compile`."""
    found: Compiler | None = getattr(given, "dynamo_ctx", None) if hasattr(given, "_orig_mod") else None
    return torch.compile if found is None and flags.compiles() else found


def compile_networks(module: LightningModule, compiler: Compiler) -> None:
    """Have calls of the module and of its children compiled. Their steps are not: logging would cut them into pieces."""
    for network in (module, *module.children()):
        called = type(network).forward is not nn.Module.forward and any(True for _ in network.children())
        if called and network._compiled_call_impl is None:  # as nn.Module.compile does, with any options
            network._compiled_call_impl = compiler(_call_of(network))


def _call_of(network: nn.Module) -> Callable[..., Any]:
    """What a call of the network runs. torch compiles no frame of torch.nn itself (2.13): an nn.Sequential needs one around it."""
    if not type(network).forward.__module__.startswith("torch.nn."):
        call: Callable[..., Any] = network._call_impl
        return call

    def call_network(*args: Any, **kwargs: Any) -> Any:
        return network._call_impl(*args, **kwargs)  # type: ignore[no-untyped-call]

    return call_network
