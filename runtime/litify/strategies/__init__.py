"""Ways to train, by name. A class is imported when its name is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from litify.errors import MisconfigurationException

if TYPE_CHECKING:
    from litify.strategies.base import Strategy

_DDP = "litify.strategies.ddp:DDPStrategy"
_FSDP = "litify.strategies.fsdp:FSDPStrategy"
# "ddp" starts the script once per device; the others make the processes from this one, and return to it.
_STARTS = {"ddp": "popen", "ddp_spawn": "spawn", "ddp_fork": "fork", "ddp_notebook": "fork"}

# name in Trainer(strategy=...) -> (class, arguments it is made with)
STRATEGIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "single_device": ("litify.strategies.single_device:SingleDeviceStrategy", {}),
    **{name: (_DDP, {"start_method": method}) for name, method in _STARTS.items()},
    **{
        f"{name}_find_unused_parameters_{str(find).lower()}": (
            _DDP, {"start_method": method, "find_unused_parameters": find},
        )
        for name, method in _STARTS.items() for find in (True, False)
    },
    **{name: (_FSDP, {}) for name in ("fsdp", "fsdp2")},
    "fsdp_cpu_offload": (_FSDP, {"cpu_offload": True}),
    "xla": ("litify.strategies.xla:XLAStrategy", {}),
}  # fmt: skip

_CLASSES = {"DDPStrategy": _DDP, "FSDPStrategy": _FSDP, "SingleDeviceStrategy": STRATEGIES["single_device"][0], "XLAStrategy": STRATEGIES["xla"][0],
            "Strategy": "litify.strategies.base:Strategy", "ParallelStrategy": "litify.strategies.parallel:ParallelStrategy"}  # fmt: skip
__all__ = ["StrategyRegistry", *sorted(_CLASSES)]


class StrategyRegistry:
    """Names for `Trainer(strategy=...)`, and further ones of your own."""

    @staticmethod
    def register(name: str, strategy: type[Strategy], description: str = "", **arguments: Any) -> None:
        """Make `strategy(**arguments)` known as `name`."""
        STRATEGIES[name] = (strategy, arguments)

    @staticmethod
    def remove(name: str) -> None:
        del STRATEGIES[name]

    @staticmethod
    def get(name: str) -> Strategy:
        return make(name)

    @staticmethod
    def available_strategies() -> list[str]:
        return sorted(STRATEGIES)


def make(name: str) -> Strategy:
    """The strategy of this name, with its default options.

    Raises:
        MisconfigurationException: there is none.
    """
    if name not in STRATEGIES:
        raise MisconfigurationException(
            f"Trainer(strategy={name!r}): known strategies are 'auto', {', '.join(STRATEGIES)}."
        )
    kind, arguments = STRATEGIES[name]
    strategy: Strategy = (_load(kind) if isinstance(kind, str) else kind)(**arguments)
    return strategy


def _load(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        return _load(_CLASSES[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
