"""litify: research code in LightningModules, engineering in the Trainer.

    from litify import LightningModule, Trainer

Every public name is loaded on first use, so that `import litify` needs no torch: converting and linting work without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from litify import callbacks as callbacks
    from litify import loggers as loggers
    from litify import profilers as profilers
    from litify import strategies as strategies
    from litify import tuner as tuner
    from litify import utilities as utilities
    from litify.callbacks.base import Callback as Callback
    from litify.combined_loader import CombinedLoader as CombinedLoader
    from litify.datamodule import LightningDataModule as LightningDataModule
    from litify.errors import MisconfigurationException as MisconfigurationException
    from litify.module import LightningModule as LightningModule
    from litify.seed import seed_everything as seed_everything
    from litify.trainer import Trainer as Trainer

__version__ = "0.1.0"

_NAMES = {
    "Callback": "litify.callbacks.base",
    "CombinedLoader": "litify.combined_loader",
    "LightningDataModule": "litify.datamodule",
    "LightningModule": "litify.module",
    "MisconfigurationException": "litify.errors",
    "Trainer": "litify.trainer",
    "seed_everything": "litify.seed",
}
_MODULES = ("callbacks", "loggers", "profilers", "strategies", "tuner", "utilities")
__all__ = [*_NAMES, *_MODULES, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _NAMES and name not in _MODULES:
        raise AttributeError(f"module 'litify' has no attribute {name!r}")
    try:
        module = import_module(_NAMES.get(name, f"litify.{name}"))
    except ModuleNotFoundError as error:
        from litify.errors import MissingExtra

        if error.name is None or error.name.partition(".")[0] == "litify":
            raise
        raise MissingExtra(
            f'litify.{name} needs {error.name}, which is not installed: pip install "litify[run]"'
        ) from None
    found = module if name in _MODULES else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
