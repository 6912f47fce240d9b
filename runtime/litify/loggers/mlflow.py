"""MLflow: runs of an experiment, on a tracking server or in a folder."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from litify.errors import MissingExtra
from litify.loggers.artifacts import new_checkpoints, uploads_at_once
from litify.loggers.base import Logger, flat
from litify.loggers.dummy import DummyExperiment
from litify.rank_zero import rank, warn

LOCAL = "file:"
LONGEST = 250  # characters of a parameter's value that all servers take
MOST = 100  # parameters a server takes at once


class MLFlowLogger(Logger):
    """Metrics, hyperparameters and checkpoints as a run of MLflow.

    Args:
        experiment_name: the experiment; made where there is none.
        run_name: the run's name.
        tracking_uri: the server; default: the environment variable MLFLOW_TRACKING_URI, else the folder `save_dir`.
        tags: of the run.
        save_dir: a folder for runs, where there is no server.
        log_model: upload checkpoints: True in the end, "all" whenever one is written.
        prefix: put before every metric's name.
        artifact_location: where the experiment keeps files; default: the server's choice.
        run_id: go on with this run.
        synchronous: wait for the server at each call.

    Raises:
        MissingExtra: mlflow is not installed.
    """

    def __init__(
        self,
        experiment_name: str = "lightning_logs",
        run_name: str | None = None,
        tracking_uri: str | None = None,
        tags: dict[str, Any] | None = None,
        save_dir: str | None = "./mlruns",
        log_model: bool | str = False,
        prefix: str = "",
        artifact_location: str | None = None,
        run_id: str | None = None,
        synchronous: bool | None = None,
    ) -> None:
        try:
            from mlflow.tracking import MlflowClient  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            raise MissingExtra(
                'MLFlowLogger needs mlflow, which is not installed: pip install "litify[mlflow]"'
            ) from None
        self._tracking_uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or f"{LOCAL}{save_dir}"
        self._experiment_name, self._artifact_location = experiment_name, artifact_location
        self._run_id, self._experiment_id = run_id, None
        self.tags = {**(tags or {}), **({"mlflow.runName": run_name} if run_name else {})}
        self._log_model, self._prefix = log_model, prefix
        self._waits = {} if synchronous is None else {"synchronous": synchronous}
        self._client: Any = MlflowClient(self._tracking_uri)
        self._open = False
        self._logged: dict[str, float] = {}
        self._callback: Any = None

    @property
    def experiment(self) -> Any:
        """The MlflowClient, with the run begun."""
        if rank() > 0:
            return DummyExperiment()
        if not self._open:
            self._open = True
            self._begin()
        return self._client

    def _begin(self) -> None:
        client = self._client
        if self._run_id is not None:
            self._experiment_id = client.get_run(self._run_id).info.experiment_id
            return
        known = client.get_experiment_by_name(self._experiment_name)
        if known is not None and known.lifecycle_stage != "deleted":
            self._experiment_id = known.experiment_id
        else:
            self._experiment_id = client.create_experiment(self._experiment_name, self._artifact_location)
        from mlflow.tracking.context.registry import resolve_tags  # type: ignore[import-not-found,unused-ignore]

        run = client.create_run(self._experiment_id, tags=resolve_tags(self.tags))
        self._run_id = run.info.run_id

    @property
    def run_id(self) -> str | None:
        """The run's id."""
        _ = self.experiment
        return self._run_id

    @property
    def experiment_id(self) -> str | None:
        """The experiment's id."""
        _ = self.experiment
        return self._experiment_id

    @property
    def name(self) -> str | None:
        return self.experiment_id

    @property
    def version(self) -> str | None:
        return self.run_id

    @property
    def save_dir(self) -> str | None:
        """The folder of all runs; None with a server."""
        return self._tracking_uri.removeprefix(LOCAL) if self._tracking_uri.startswith(LOCAL) else None

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        from mlflow.entities import Metric  # type: ignore[import-not-found,unused-ignore]

        now, rows = int(time.time() * 1000), []
        for name, value in metrics.items():
            name = f"{self._prefix}-{name}" if self._prefix else name
            allowed = re.sub(r"[^a-zA-Z0-9_/. -]+", "", name)
            if allowed != name:
                warn(
                    f"MLflow takes no {name!r} as a metric's name; it is logged as {allowed!r}.",
                    RuntimeWarning,
                )
            if not isinstance(value, str):
                number = value.item() if isinstance(value, Tensor) else value
                rows.append(Metric(key=allowed, value=number, timestamp=now, step=step or 0))
        self.experiment.log_batch(run_id=self.run_id, metrics=rows, **self._waits)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        from mlflow.entities import Param

        rows = [Param(key=name, value=str(value)[:LONGEST]) for name, value in flat(params).items()]
        for first in range(0, len(rows), MOST):
            self.experiment.log_batch(run_id=self.run_id, params=rows[first : first + MOST], **self._waits)

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        self._callback = checkpoint_callback
        if uploads_at_once(self._log_model, checkpoint_callback):
            self._upload()

    def _upload(self) -> None:
        import yaml  # type: ignore[import-untyped]

        for path, about, aliases in new_checkpoints(self._callback, self._logged):
            folder = Path(path).stem
            self.experiment.log_artifact(self.run_id, path, folder)
            with tempfile.TemporaryDirectory() as notes:
                (Path(notes) / "metadata.yaml").write_text(yaml.safe_dump(about))
                (Path(notes) / "aliases.txt").write_text(str(aliases))
                self.experiment.log_artifacts(self.run_id, notes, folder)

    def finalize(self, status: str) -> None:
        if not self._open or rank() > 0:
            return
        if self._log_model and self._callback is not None:
            self._upload()
        self._client.set_terminated(self._run_id, "FAILED" if status == "failed" else "FINISHED")
