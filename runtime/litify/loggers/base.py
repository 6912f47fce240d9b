"""Logger: the interface, and what file loggers share: a folder of its own per run."""

from __future__ import annotations

import os
import re
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from litify import restarts, storage
from litify.hparams import flatten
from litify.hparams_files import save_hparams_to_yaml


class Logger:
    """Gets metrics and hyperparameters. Override `log_metrics` and `log_hyperparams` at least.

    `log_metrics` is called on every rank: put @rank_zero_only before it where one copy is enough.
    """

    @property
    def name(self) -> str | None:
        """The experiment."""
        return None

    @property
    def version(self) -> int | str | None:
        """The run."""
        return None

    @property
    def root_dir(self) -> str | None:
        return None

    @property
    def log_dir(self) -> str | None:
        """The run's folder, for loggers that write files."""
        return None

    @property
    def save_dir(self) -> str | None:
        """The folder of all experiments."""
        return None

    @property
    def group_separator(self) -> str:
        """What separates groups in metric names."""
        return "/"

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """A row of metrics at `step`."""
        raise NotImplementedError

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Hyperparameters, as a dictionary or Namespace."""
        raise NotImplementedError

    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """The model's graph."""

    def save(self) -> None:
        """Write what is still in memory."""

    def finalize(self, status: str) -> None:
        """The run is over: "success" or "failed"."""
        self.save()

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """A checkpoint callback has written a file."""


def as_dict(params: Any) -> dict[str, Any]:
    """Hyperparameters in any accepted form as a dictionary."""
    if params is None:
        return {}
    return dict(vars(params) if isinstance(params, Namespace) else params)


def flat(params: Any) -> dict[str, Any]:
    """Hyperparameters with nested names as "a/b", values as loggers take them."""
    return dict(flatten(as_dict(params)))


class RunFolder(Logger):
    """A logger that writes into save_dir/name/version_N, N counted up.

    Args:
        save_dir: the folder of all experiments.
        name: the experiment; "" leaves that level out.
        version: the run; default: the first free number.
        sub_dir: a folder within the run's.
    """

    NAME_HPARAMS_FILE = "hparams.yaml"

    def __init__(
        self,
        save_dir: str | Path,
        name: str | None = "lightning_logs",
        version: int | str | None = None,
        sub_dir: str | Path | None = None,
    ) -> None:
        self._save_dir = os.path.expandvars(os.path.expanduser(os.fspath(save_dir)))
        self._name = name or ""
        self._version = version
        self._sub_dir = (
            None if sub_dir is None else os.path.expandvars(os.path.expanduser(os.fspath(sub_dir)))
        )

    @property
    def name(self) -> str:
        return self._name

    @property
    def save_dir(self) -> str:
        return self._save_dir

    @property
    def sub_dir(self) -> str | None:
        return self._sub_dir

    @property
    def root_dir(self) -> str:
        return os.path.join(self.save_dir, self.name)

    @property
    def version(self) -> int | str:
        if self._version is None:
            self._version = restarts.as_before(
                f"version in {os.path.abspath(self.root_dir)}", self._next_version
            )
        return self._version

    @property
    def log_dir(self) -> str:
        version = self.version if isinstance(self.version, str) else f"version_{self.version}"
        folder = os.path.join(self.root_dir, version)
        return folder if self._sub_dir is None else os.path.join(folder, self._sub_dir)

    def _next_version(self) -> int:
        """One more than the highest there is. Processes started together take the number that the launcher's first took."""
        numbers = [
            int(match[1])
            for name in storage.names(self.root_dir)
            if (match := re.fullmatch(r"version_(\d+)", name))
        ]
        return max(numbers, default=-1) + 1

    def write_hparams(self, params: dict[str, Any]) -> None:
        """hparams.yaml in the run's folder."""
        save_hparams_to_yaml(os.path.join(self.log_dir, self.NAME_HPARAMS_FILE), params)
