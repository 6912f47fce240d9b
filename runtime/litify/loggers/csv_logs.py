"""CSV files: metrics.csv and hparams.yaml."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from litify import storage
from litify.hparams_files import save_hparams_to_yaml
from litify.loggers.base import RunFolder, as_dict
from litify.rank_zero import rank, warn


class ExperimentWriter:
    """The files of one run: rows are kept until `save`, which appends them; a new column rewrites the file."""

    NAME_METRICS_FILE = "metrics.csv"
    NAME_HPARAMS_FILE = RunFolder.NAME_HPARAMS_FILE

    def __init__(self, log_dir: str) -> None:
        self.log_dir = log_dir
        self.metrics: list[dict[str, Any]] = []
        self.metrics_keys: list[str] = []
        self.hparams: dict[str, Any] = {}
        self._hparams_kept = False
        self.metrics_file_path = os.path.join(log_dir, self.NAME_METRICS_FILE)
        if storage.names(log_dir):
            warn(f"CSVLogger: {log_dir} is not empty; its {self.NAME_METRICS_FILE} is written anew.")
            storage.remove(self.metrics_file_path)
        if not storage.is_url(log_dir):
            os.makedirs(log_dir, exist_ok=True)

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        row = {name: value.item() if isinstance(value, Tensor) else value for name, value in metrics.items()}
        row["step"] = len(self.metrics) if step is None else step
        self.metrics.append(row)

    def log_hparams(self, params: dict[str, Any]) -> None:
        self.hparams.update(params)
        self._hparams_kept = False

    def save(self) -> None:
        """Write hyperparameters that are new, and append the rows kept."""
        if not self._hparams_kept:
            save_hparams_to_yaml(os.path.join(self.log_dir, self.NAME_HPARAMS_FILE), self.hparams)
            self._hparams_kept = True
        if not self.metrics:
            return
        new = sorted({name for row in self.metrics for name in row} - set(self.metrics_keys))
        if new or storage.is_url(self.log_dir):  # object stores cannot append
            rows = self._rows() + self.metrics
            self.metrics_keys = sorted([*self.metrics_keys, *new])
            self._write(rows, "w", header=True)
        else:
            self._write(self.metrics, "a", header=False)
        self.metrics = []

    def _rows(self) -> list[dict[str, Any]]:
        if not self.metrics_keys or not storage.exists(self.metrics_file_path):
            return []
        with storage.open_file(self.metrics_file_path) as file:
            return list(csv.DictReader(file))

    def _write(self, rows: list[dict[str, Any]], mode: str, header: bool) -> None:
        with storage.open_file(self.metrics_file_path, mode) as file:
            writer = csv.DictWriter(file, fieldnames=self.metrics_keys)
            if header:
                writer.writeheader()
            writer.writerows(rows)


class CSVLogger(RunFolder):
    """Writes metrics.csv (a row per step) and hparams.yaml into save_dir/name/version_N.

    Args:
        save_dir, name, version: the run's folder.
        prefix: put before every metric's name.
        flush_logs_every_n_steps: rows between two writes.
    """

    def __init__(
        self,
        save_dir: str | Path,
        name: str | None = "lightning_logs",
        version: int | str | None = None,
        prefix: str = "",
        flush_logs_every_n_steps: int = 100,
    ) -> None:
        super().__init__(save_dir, name, version)
        self._prefix = prefix
        self._flush_every = flush_logs_every_n_steps
        self._experiment: ExperimentWriter | None = None
        self._rows = 0

    @property
    def experiment(self) -> ExperimentWriter:
        """The writer of this run's file."""
        if self._experiment is None:
            self._experiment = ExperimentWriter(self.log_dir)
        return self._experiment

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        if rank() > 0:
            return
        self.experiment.log_metrics(
            {f"{self._prefix}-{k}" if self._prefix else k: v for k, v in metrics.items()}, step
        )
        self._rows += 1
        if self._rows % self._flush_every == 0:
            self.save()

    def log_hyperparams(self, params: Any = None, *args: Any, **kwargs: Any) -> None:
        if rank() == 0:
            self.experiment.log_hparams(as_dict(params))
            self.experiment.save()

    def save(self) -> None:
        if self._experiment is not None and rank() == 0:
            self._experiment.save()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_experiment": None}
