"""Ways to train, by name. A class is imported when its name is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from litify.errors import MisconfigurationException

if TYPE_CHECKING:
    from litify.strategies.base import Strategy

# name in Trainer(strategy=...) -> (class, arguments it is made with)
STRATEGIES: dict[str, tuple[str, dict[str, Any]]] = {
    "single_device": ("litify.strategies.single_device:SingleDeviceStrategy", {}),
    "ddp": ("litify.strategies.ddp:DDPStrategy", {}),
    "ddp_find_unused_parameters_true": (
        "litify.strategies.ddp:DDPStrategy",
        {"find_unused_parameters": True},
    ),
    "ddp_find_unused_parameters_false": (
        "litify.strategies.ddp:DDPStrategy",
        {"find_unused_parameters": False},
    ),
    "xla": ("litify.strategies.xla:XLAStrategy", {}),
}

_CLASSES = {path.rpartition(":")[2]: path for path, _ in STRATEGIES.values()}
_CLASSES["Strategy"] = "litify.strategies.base:Strategy"
__all__ = sorted(_CLASSES)


def make(name: str) -> Strategy:
    """The strategy of this name, with its default options.

    Raises:
        MisconfigurationException: there is none.
    """
    if name not in STRATEGIES:
        raise MisconfigurationException(
            f"Trainer(strategy={name!r}): known strategies are 'auto', {', '.join(STRATEGIES)}."
        )
    path, arguments = STRATEGIES[name]
    strategy: Strategy = _load(path)(**arguments)
    return strategy


def _load(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        return _load(_CLASSES[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
