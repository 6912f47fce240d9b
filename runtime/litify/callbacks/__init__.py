"""Callbacks: code that runs at the Trainer's hooks and belongs to no model."""

from litify.callbacks.base import Callback
from litify.callbacks.checkpoint import Checkpoint
from litify.callbacks.early_stopping import EarlyStopping, EarlyStoppingReason
from litify.callbacks.epoch_lines import EpochLines
from litify.callbacks.lambda_function import LambdaCallback
from litify.callbacks.lr_monitor import LearningRateMonitor
from litify.callbacks.model_checkpoint import ModelCheckpoint
from litify.callbacks.progress import ProgressBar, TQDMProgressBar
from litify.callbacks.timer import Timer

__all__ = [
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "EarlyStoppingReason",
    "EpochLines",
    "LambdaCallback",
    "LearningRateMonitor",
    "ModelCheckpoint",
    "ProgressBar",
    "TQDMProgressBar",
    "Timer",
]
