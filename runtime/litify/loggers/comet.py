"""Comet."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from litify.errors import MissingExtra
from litify.loggers.base import Logger, as_dict
from litify.loggers.dummy import DummyExperiment
from litify.rank_zero import rank, rank_zero_only, warn

# What arguments were called before: old name -> today's.
OLD = {"experiment_name": "name", "project_name": "project", "save_dir": "offline_directory"}


class CometLogger(Logger):
    """Metrics, hyperparameters and the model's layers as an experiment of Comet.

    The experiment goes on after training, for you to add to it; Comet ends it with the process.

    Args:
        api_key: default: the environment variable COMET_API_KEY, or Comet's configuration file.
        workspace: default: that of the account.
        project: default: Comet's, "general".
        experiment_key: of an experiment to go on with.
        mode: "get_or_create" (default), "get" or "create" the experiment of that key.
        online: False keeps everything in an archive, to be uploaded later.
        prefix: put before every metric's name.
        kwargs: arguments of `comet_ml.ExperimentConfig`, such as name, tags, offline_directory, log_code.

    Raises:
        MissingExtra: comet_ml is not installed.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        workspace: str | None = None,
        project: str | None = None,
        experiment_key: str | None = None,
        mode: str | None = None,
        online: bool | None = None,
        prefix: str | None = None,
        **kwargs: Any,
    ) -> None:
        # Comet otherwise watches torch by itself, and what is logged here would be there twice.
        os.environ.setdefault("COMET_DISABLE_AUTO_LOGGING", "1")
        try:
            import comet_ml  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            raise MissingExtra(
                'CometLogger needs comet_ml, which is not installed: pip install "litify[comet]"'
            ) from None
        for old, new in OLD.items():
            if old in kwargs:
                warn(f"CometLogger({old}=...) is called {new}= now.", DeprecationWarning)
                kwargs.setdefault(new, kwargs.pop(old))
        self._prefix = prefix
        self._experiment: Any = None
        self._start: dict[str, Any] = {
            "api_key": api_key,
            "workspace": workspace,
            "project": kwargs.pop("project", None) if project is None else project,
            "experiment_key": experiment_key,
            "mode": mode,
            "online": online,
        }
        self._config = comet_ml.ExperimentConfig(**kwargs)

    @property
    def experiment(self) -> Any:
        """Comet's experiment."""
        if rank() > 0:
            return DummyExperiment()
        if self._experiment is None:
            import comet_ml

            self._experiment = comet_ml.start(**self._start, experiment_config=self._config)
            self._start["experiment_key"] = self._experiment.get_key()
            self._experiment.log_other("Created from", "litify")
        return self._experiment

    @property
    def name(self) -> str | None:
        """The project."""
        found: str | None = self._start["project"]
        if found is None and self._experiment is not None:
            found = self._experiment.project_name
        return found

    @property
    def version(self) -> str | None:
        """The experiment's key; None before there is one."""
        key: str | None = self._start["experiment_key"]
        return key

    @property
    def save_dir(self) -> str | None:
        """Where archives of experiments that are not online go."""
        folder: str | None = self._config.offline_directory
        return folder

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        row = {
            name: value.detach().cpu() if isinstance(value, Tensor) else value
            for name, value in metrics.items()
        }
        epoch = row.pop("epoch", None)
        self.experiment.log_metrics(row, prefix=self._prefix, step=step, epoch=epoch)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self.experiment.log_parameters(as_dict(params), nested_support=True)

    @rank_zero_only
    def log_graph(self, model: nn.Module, input_array: Any = None) -> None:
        """The layers, as text."""
        self.experiment.set_model_graph(model)

    def save(self) -> None:
        if self._experiment is not None:
            self._experiment.flush()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_experiment": None}  # the copy goes on with the experiment of this key
