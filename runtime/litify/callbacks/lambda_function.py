"""LambdaCallback: hooks given as functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from litify.callbacks.base import Callback
from litify.errors import MisconfigurationException


class LambdaCallback(Callback):
    """A callback whose hooks are given as functions: `LambdaCallback(on_train_end=lambda trainer, pl_module: ...)`.

    Raises:
        MisconfigurationException: a name that is no hook of Callback.
    """

    def __init__(self, **hooks: Callable[..., Any] | None) -> None:
        for name, function in hooks.items():
            known = name.startswith("on_") or name in ("setup", "teardown", "state_dict", "load_state_dict")
            if not known or not hasattr(Callback, name):
                raise MisconfigurationException(f"LambdaCallback({name}=...): Callback has no such hook.")
            if function is not None:
                setattr(self, name, function)
