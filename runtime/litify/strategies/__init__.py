"""Ways to train, by name. A class is imported when its name is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


class _Registry(Mapping[str, Mapping[str, Any]]):
    """Names for `Trainer(strategy=...)`, and further ones of your own. A name gives class, arguments and description."""

    def register(
        self, name: str, strategy: Any = None, description: str = "", override: bool = False, **arguments: Any
    ) -> Any:
        """Make `strategy(**arguments)` known as `name`; without a strategy, a decorator for its class.

        Raises:
            MisconfigurationException: the name is taken, and `override` does not say to replace it.
        """
        if name in STRATEGIES and not override:
            raise MisconfigurationException(
                f"StrategyRegistry.register({name!r}): the name is taken; choose another, or pass override=True."
            )

        def add(strategy: Any) -> Any:
            STRATEGIES[name] = (strategy, arguments)
            self._descriptions[name] = description
            return strategy

        return add if strategy is None else add(strategy)

    def remove(self, name: str) -> None:
        del STRATEGIES[name]

    def get(self, name: str, default: Any = None) -> Any:
        """A strategy of this name; `default` where there is none.

        Raises:
            KeyError: there is none, and no default.
        """
        if name not in STRATEGIES and default is None:
            raise KeyError(f"{name!r} is no strategy; there are {', '.join(STRATEGIES)}")
        return make(name) if name in STRATEGIES else default

    def available_strategies(self) -> list[str]:
        return sorted(STRATEGIES)

    def __init__(self) -> None:
        self._descriptions: dict[str, str] = {}

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        kind, arguments = STRATEGIES[name]
        strategy = _load(kind) if isinstance(kind, str) else kind
        return {
            "strategy": strategy,
            "init_params": arguments,
            "description": self._descriptions.get(name, ""),
        }

    def __iter__(self) -> Iterator[str]:
        return iter(STRATEGIES)

    def __len__(self) -> int:
        return len(STRATEGIES)


StrategyRegistry = _Registry()


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
