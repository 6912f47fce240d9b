"""Loggers: where metrics and hyperparameters go."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from litify import slurm
from litify.loggers.base import Logger
from litify.loggers.csv_logs import CSVLogger
from litify.loggers.dummy import DummyLogger
from litify.loggers.tensorboard import TensorBoardLogger

if TYPE_CHECKING:
    from litify.loggers.comet import CometLogger as CometLogger
    from litify.loggers.mlflow import MLFlowLogger as MLFlowLogger
    from litify.loggers.wandb import WandbLogger as WandbLogger

# Those behind extras, loaded on first use.
_NAMES = {"CometLogger": "comet", "MLFlowLogger": "mlflow", "WandbLogger": "wandb"}
__all__ = [
    "CSVLogger",
    "CometLogger",
    "DummyLogger",
    "Logger",
    "MLFlowLogger",
    "TensorBoardLogger",
    "WandbLogger",
    "default_logger",
]


def default_logger(root: str | Path) -> Any:
    """What `Trainer(logger=True)` means: TensorBoard, or CSV where tensorboard is not installed.

    In a job of SLURM the run has the job's number: the job writes on where it wrote before it was requeued.
    """
    kind = TensorBoardLogger if find_spec("tensorboard") else CSVLogger
    job = os.environ["SLURM_JOB_ID"] if slurm.job() is not None else ""
    return kind(root, version=int(job) if job.isdigit() else None)


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'litify.loggers' has no attribute {name!r}")
    return getattr(import_module(f"litify.loggers.{_NAMES[name]}"), name)
