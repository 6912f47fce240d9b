"""Loggers: where metrics and hyperparameters go."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from litify.loggers.base import Logger
from litify.loggers.csv_logs import CSVLogger
from litify.loggers.dummy import DummyLogger
from litify.loggers.tensorboard import TensorBoardLogger

__all__ = ["CSVLogger", "DummyLogger", "Logger", "TensorBoardLogger", "default_logger"]


def default_logger(root: str | Path) -> Any:
    """What `Trainer(logger=True)` means: TensorBoard, or CSV where tensorboard is not installed."""
    return TensorBoardLogger(root) if find_spec("tensorboard") else CSVLogger(root)
