"""Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from litify.errors import MisconfigurationException, MissingExtra
from litify.loggers.artifacts import new_checkpoints, uploads_at_once
from litify.loggers.base import Logger, flat
from litify.loggers.dummy import DummyExperiment
from litify.rank_zero import rank, warn


class WandbLogger(Logger):
    """Metrics, hyperparameters, media and checkpoints as a run of Weights & Biases.

    Args:
        name: the run's name.
        save_dir, dir: where files are kept.
        version, id: the run's id, to go on with it.
        offline: keep everything in files, to be uploaded later.
        anonymous: allow runs without an account.
        project: default: the environment variable WANDB_PROJECT, else "lightning_logs".
        log_model: upload checkpoints: True in the end, "all" whenever one is written.
        experiment: a run to use, made by `wandb.init`.
        prefix: put before every metric's name.
        checkpoint_name: of uploaded checkpoints; default: "model-" and the run's id.
        add_file_policy: "mutable" copies a file before it is uploaded, "immutable" does not.
        kwargs: further arguments of `wandb.init`.

    Raises:
        MissingExtra: wandb is not installed.
        MisconfigurationException: checkpoints to be uploaded while offline.
    """

    def __init__(
        self,
        name: str | None = None,
        save_dir: str | Path = ".",
        version: str | None = None,
        offline: bool = False,
        dir: str | Path | None = None,
        id: str | None = None,
        anonymous: bool | None = None,
        project: str | None = None,
        log_model: bool | str = False,
        experiment: Any = None,
        prefix: str = "",
        checkpoint_name: str | None = None,
        add_file_policy: str = "mutable",
        **kwargs: Any,
    ) -> None:
        try:
            import wandb  # type: ignore[import-not-found,unused-ignore]  # noqa: F401
        except ImportError:
            raise MissingExtra(
                'WandbLogger needs wandb, which is not installed: pip install "litify[wandb]"'
            ) from None
        if offline and log_model:
            raise MisconfigurationException(
                f"WandbLogger(offline=True, log_model={log_model!r}): checkpoints cannot be uploaded offline; leave one of them out."
            )
        self._offline, self._log_model, self._prefix, self._experiment = (
            offline,
            log_model,
            prefix,
            experiment,
        )
        self._checkpoint_name, self.add_file_policy = checkpoint_name, add_file_policy
        self._wandb_init: dict[str, Any] = {
            "name": name,
            "project": project or os.environ.get("WANDB_PROJECT", "lightning_logs"),
            "dir": os.fspath(save_dir or dir or "."),
            "id": version or id,
            "resume": "allow",
            **({"anonymous": "allow"} if anonymous else {}),
            **({"mode": "offline"} if offline else {}),
            **kwargs,
        }
        self._logged: dict[str, float] = {}
        self._callbacks: dict[int, Any] = {}

    @property
    def experiment(self) -> Any:
        """The wandb run."""
        if rank() > 0:
            return DummyExperiment()
        if self._experiment is None:
            import wandb

            if wandb.run is not None:
                warn(
                    "There is a wandb run already, which WandbLogger goes on with; call wandb.finish() first for a new one."
                )
                self._experiment = wandb.run
                return self._experiment
            self._experiment = wandb.init(**self._wandb_init)
            if not self._wandb_init.get("sync_tensorboard"):
                self._experiment.define_metric("trainer/global_step")
                self._experiment.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        return self._experiment

    @property
    def name(self) -> str | None:
        """The project."""
        project: str | None = self._wandb_init["project"]
        return project

    @property
    def version(self) -> str | None:
        """The run's id; None before there is one."""
        found: str | None = self._experiment.id if self._experiment is not None else self._wandb_init["id"]
        return found

    @property
    def save_dir(self) -> str | None:
        return str(self._wandb_init["dir"])

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        row = {f"{self._prefix}-{name}" if self._prefix else name: value for name, value in metrics.items()}
        if step is not None and not self._wandb_init.get("sync_tensorboard"):
            row["trainer/global_step"] = step
        self.experiment.log(row)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        if rank() == 0:
            self.experiment.config.update(flat(params), allow_val_change=True)

    def watch(
        self, model: nn.Module, log: str | None = "gradients", log_freq: int = 100, log_graph: bool = True
    ) -> None:
        """Histograms of gradients and weights, every `log_freq` batches."""
        self.experiment.watch(model, log=log, log_freq=log_freq, log_graph=log_graph)

    # -- media ----------------------------------------------------------------------------------------------------------------

    def log_table(
        self,
        key: str,
        columns: list[str] | None = None,
        data: Any = None,
        dataframe: Any = None,
        step: int | None = None,
    ) -> None:
        """A table, from columns and rows or from a DataFrame."""
        if rank() == 0:
            import wandb

            self.log_metrics({key: wandb.Table(columns=columns, data=data, dataframe=dataframe)}, step)

    log_text = log_table

    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Images: tensors, arrays, PIL images or paths. Further arguments are lists, such as caption=[...]."""
        self._media("Image", key, images, step, kwargs)

    def log_audio(self, key: str, audios: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Sounds: arrays or paths."""
        self._media("Audio", key, audios, step, kwargs)

    def log_video(self, key: str, videos: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Videos: arrays or paths."""
        self._media("Video", key, videos, step, kwargs)

    def _media(
        self, kind: str, key: str, items: list[Any], step: int | None, options: dict[str, list[Any]]
    ) -> None:
        if not isinstance(items, list):
            raise TypeError(f"WandbLogger.log_{kind.lower()} takes a list, not a {type(items).__name__}.")
        wrong = [name for name, values in options.items() if len(values) != len(items)]
        if wrong:
            raise ValueError(
                f"WandbLogger.log_{kind.lower()}: {wrong} must have {len(items)} items, one each."
            )
        if rank() == 0:
            import wandb

            make = getattr(wandb, kind)
            each = [{name: values[index] for name, values in options.items()} for index in range(len(items))]
            self.log_metrics(
                {key: [make(item, **more) for item, more in zip(items, each, strict=True)]}, step
            )

    # -- checkpoints ----------------------------------------------------------------------------------------------------------

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        if uploads_at_once(self._log_model, checkpoint_callback):
            self._upload(checkpoint_callback)
        elif self._log_model is True:
            self._callbacks[id(checkpoint_callback)] = checkpoint_callback

    def _upload(self, callback: Any) -> None:
        import wandb

        name = self._checkpoint_name or f"model-{self.experiment.id}"
        for path, about, aliases in new_checkpoints(callback, self._logged):
            artifact = wandb.Artifact(name=name, type="model", metadata=about)
            artifact.add_file(path, name="model.ckpt", policy=self.add_file_policy)
            self.experiment.log_artifact(artifact, aliases=aliases)

    def finalize(self, status: str) -> None:
        if status == "success" and self._experiment is not None:
            for callback in self._callbacks.values():
                self._upload(callback)

    def __getstate__(self) -> dict[str, Any]:
        init = {**self._wandb_init, "id": self.version}  # the copy goes on with the run
        return {**vars(self), "_experiment": None, "_wandb_init": init}
