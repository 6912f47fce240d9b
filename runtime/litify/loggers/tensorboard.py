"""TensorBoard, by torch.utils.tensorboard."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from litify import storage
from litify.errors import MissingExtra
from litify.loggers.base import RunFolder, as_dict, flat
from litify.loggers.dummy import DummyExperiment
from litify.rank_zero import rank, warn


class TensorBoardLogger(RunFolder):
    """Writes TensorBoard files into save_dir/name/version_N.

    Args:
        save_dir, name, version, sub_dir: the run's folder.
        log_graph: also write the model's graph, from `example_input_array`.
        default_hp_metric: write the value -1 as hp_metric, so that the HPARAMS tab lists the run.
        prefix: put before every metric's name.
        kwargs: arguments of torch.utils.tensorboard.SummaryWriter.
    """

    def __init__(
        self,
        save_dir: str | Path,
        name: str | None = "lightning_logs",
        version: int | str | None = None,
        log_graph: bool = False,
        default_hp_metric: bool = True,
        prefix: str = "",
        sub_dir: str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(save_dir, name, version, sub_dir)
        self._log_graph = log_graph
        self._default_hp_metric = default_hp_metric
        self._prefix = prefix
        self._kwargs = kwargs
        self._experiment: Any = None
        self.hparams: dict[str, Any] = {}

    @property
    def experiment(self) -> Any:
        """The SummaryWriter, for images, histograms, text: `self.logger.experiment.add_image(...)`.

        Raises:
            MissingExtra: tensorboard is not installed.
        """
        if rank() > 0:
            return DummyExperiment()
        if self._experiment is None:
            try:
                from torch.utils.tensorboard import (
                    SummaryWriter,
                )  # half a second, so only when something is logged
            except ImportError:
                raise MissingExtra('TensorBoardLogger needs tensorboard: pip install "litify[run]"') from None
            if not storage.is_url(self.root_dir):
                os.makedirs(self.root_dir, exist_ok=True)
            self._experiment = SummaryWriter(log_dir=self.log_dir, **self._kwargs)
        return self._experiment

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        if rank() > 0:
            return
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]

        writer = self.experiment
        row = Summary()
        for name, value in metrics.items():
            name = f"{self._prefix}-{name}" if self._prefix else name
            if isinstance(value, dict):
                writer.add_scalars(name, value, step)
                continue
            try:
                row.value.add(tag=name, simple_value=float(value))
            except (TypeError, ValueError, RuntimeError) as error:
                raise ValueError(
                    f"{name}={value!r} cannot be logged to TensorBoard; log a number."
                ) from error
        if row.value:  # one event for the row: the writer's thread pays for each
            writer._get_file_writer().add_summary(row, step)

    def log_hyperparams(self, params: Any, metrics: Any = None, step: int | None = None) -> None:
        """Hyperparameters to hparams.yaml and the HPARAMS tab, with `metrics` as the run's result there."""
        if rank() > 0:
            return
        self.hparams.update(as_dict(params))
        if metrics is None:
            metrics = {"hp_metric": -1} if self._default_hp_metric else None
        elif not isinstance(metrics, dict):
            metrics = {"hp_metric": metrics}
        if metrics:
            from torch.utils.tensorboard.summary import hparams

            self.log_metrics(metrics, 0 if step is None else step)
            writer = self.experiment._get_file_writer()
            for summary in hparams(flat(params), metrics):  # type: ignore[no-untyped-call]
                writer.add_summary(summary)

    def log_graph(self, model: Any, input_array: Any = None) -> None:
        if not self._log_graph:
            return
        sample = getattr(model, "example_input_array", None) if input_array is None else input_array
        if sample is None:
            warn(
                "TensorBoardLogger(log_graph=True): the module has no example_input_array, so there is no graph."
            )
            return
        if not isinstance(sample, (Tensor, tuple)):
            warn(
                f"TensorBoardLogger(log_graph=True): a graph is traced with a tensor or a tuple of them, not a {type(sample).__name__}, so "
                "there is none."
            )
            return
        training = model.training
        with model.without_trainer():
            self.experiment.add_graph(model.eval(), sample)
        model.train(training)

    def save(self) -> None:
        if self._experiment is not None:
            self._experiment.flush()
        folder = self.log_dir
        written = storage.exists(os.path.join(folder, self.NAME_HPARAMS_FILE))
        if rank() == 0 and storage.is_dir(folder) and not written:
            self.write_hparams(self.hparams)

    def finalize(self, status: str) -> None:
        self.save()
        if self._experiment is not None:
            self._experiment.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_experiment": None}
