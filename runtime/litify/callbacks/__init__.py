"""Callbacks: code that runs at the Trainer's hooks and belongs to no model. Each is loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from litify.callbacks.base import Callback

if TYPE_CHECKING:
    from litify.callbacks.batch_size_finder import BatchSizeFinder as BatchSizeFinder
    from litify.callbacks.checkpoint import Checkpoint as Checkpoint
    from litify.callbacks.device_stats_monitor import DeviceStatsMonitor as DeviceStatsMonitor
    from litify.callbacks.early_stopping import EarlyStopping as EarlyStopping
    from litify.callbacks.early_stopping import EarlyStoppingReason as EarlyStoppingReason
    from litify.callbacks.epoch_lines import EpochLines as EpochLines
    from litify.callbacks.finetuning import BackboneFinetuning as BackboneFinetuning
    from litify.callbacks.finetuning import BaseFinetuning as BaseFinetuning
    from litify.callbacks.gradient_accumulation import (
        GradientAccumulationScheduler as GradientAccumulationScheduler,
    )
    from litify.callbacks.lambda_function import LambdaCallback as LambdaCallback
    from litify.callbacks.lr_finder import LearningRateFinder as LearningRateFinder
    from litify.callbacks.lr_monitor import LearningRateMonitor as LearningRateMonitor
    from litify.callbacks.model_checkpoint import ModelCheckpoint as ModelCheckpoint
    from litify.callbacks.model_summary import ModelSummary as ModelSummary
    from litify.callbacks.on_exception import OnExceptionCheckpoint as OnExceptionCheckpoint
    from litify.callbacks.prediction_writer import BasePredictionWriter as BasePredictionWriter
    from litify.callbacks.progress import ProgressBar as ProgressBar
    from litify.callbacks.progress import TQDMProgressBar as TQDMProgressBar
    from litify.callbacks.pruning import ModelPruning as ModelPruning
    from litify.callbacks.rich_model_summary import RichModelSummary as RichModelSummary
    from litify.callbacks.rich_progress import RichProgressBar as RichProgressBar
    from litify.callbacks.rich_progress import RichProgressBarTheme as RichProgressBarTheme
    from litify.callbacks.spike import SpikeDetection as SpikeDetection
    from litify.callbacks.stochastic_weight_avg import StochasticWeightAveraging as StochasticWeightAveraging
    from litify.callbacks.throughput_monitor import ThroughputMonitor as ThroughputMonitor
    from litify.callbacks.timer import Timer as Timer
    from litify.callbacks.weight_averaging import EMAWeightAveraging as EMAWeightAveraging
    from litify.callbacks.weight_averaging import WeightAveraging as WeightAveraging

_NAMES = {
    "BackboneFinetuning": "finetuning",
    "BaseFinetuning": "finetuning",
    "BasePredictionWriter": "prediction_writer",
    "BatchSizeFinder": "batch_size_finder",
    "Checkpoint": "checkpoint",
    "DeviceStatsMonitor": "device_stats_monitor",
    "EMAWeightAveraging": "weight_averaging",
    "EarlyStopping": "early_stopping",
    "EarlyStoppingReason": "early_stopping",
    "EpochLines": "epoch_lines",
    "GradientAccumulationScheduler": "gradient_accumulation",
    "LambdaCallback": "lambda_function",
    "LearningRateFinder": "lr_finder",
    "LearningRateMonitor": "lr_monitor",
    "ModelCheckpoint": "model_checkpoint",
    "ModelPruning": "pruning",
    "ModelSummary": "model_summary",
    "OnExceptionCheckpoint": "on_exception",
    "ProgressBar": "progress",
    "RichModelSummary": "rich_model_summary",
    "RichProgressBar": "rich_progress",
    "RichProgressBarTheme": "rich_progress",
    "SpikeDetection": "spike",
    "StochasticWeightAveraging": "stochastic_weight_avg",
    "TQDMProgressBar": "progress",
    "ThroughputMonitor": "throughput_monitor",
    "Timer": "timer",
    "WeightAveraging": "weight_averaging",
}
__all__ = ["Callback", *_NAMES]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'litify.callbacks' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"litify.callbacks.{_NAMES[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
