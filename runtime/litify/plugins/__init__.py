"""What `Trainer(plugins=...)` takes: a precision, a way to write checkpoints, a cluster. Each is imported when its name is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from litify.plugins.async_checkpoint_io import AsyncCheckpointIO as AsyncCheckpointIO
    from litify.plugins.checkpoint_io import CheckpointIO as CheckpointIO
    from litify.plugins.checkpoint_io import TorchCheckpointIO as TorchCheckpointIO
    from litify.plugins.environments import ClusterEnvironment as ClusterEnvironment
    from litify.plugins.environments import LightningEnvironment as LightningEnvironment
    from litify.plugins.environments import SLURMEnvironment as SLURMEnvironment
    from litify.plugins.environments import TorchElasticEnvironment as TorchElasticEnvironment
    from litify.precision.base import Precision as Precision
    from litify.precision.mixed import MixedPrecision as MixedPrecision
    from litify.precision.true import DoublePrecision as DoublePrecision
    from litify.precision.true import HalfPrecision as HalfPrecision

_NAMES = {
    "AsyncCheckpointIO": "litify.plugins.async_checkpoint_io",
    "CheckpointIO": "litify.plugins.checkpoint_io",
    "ClusterEnvironment": "litify.plugins.environments",
    "DoublePrecision": "litify.precision.true",
    "HalfPrecision": "litify.precision.true",
    "LightningEnvironment": "litify.plugins.environments",
    "MixedPrecision": "litify.precision.mixed",
    "Precision": "litify.precision.base",
    "SLURMEnvironment": "litify.plugins.environments",
    "TorchCheckpointIO": "litify.plugins.checkpoint_io",
    "TorchElasticEnvironment": "litify.plugins.environments",
}
__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
