"""ModelCheckpoint: the newest, or the best k checkpoints by a metric."""

# No `from __future__ import annotations`: command line parsers read the arguments' types, which must not be strings.

import math
import os
import re
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from litify import storage
from litify.callbacks.checkpoint import Checkpoint
from litify.errors import MisconfigurationException
from litify.plugins.checkpoint_io import remove_leftovers
from litify.rank_zero import say, warn
from litify.state import Phase

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.trainer import Trainer

Metrics = dict[str, Any]


class ModelCheckpoint(Checkpoint):
    """Saves the training regularly, by default at the end of each epoch, and keeps the newest or the best.

    Args:
        dirpath: folder; default: `checkpoints` in the run folder.
        filename: name pattern such as "{epoch}-{val_loss:.2f}"; default "{epoch}-{step}".
        monitor: metric that says which are best; None keeps the newest.
        verbose: say what is saved and why.
        save_last: also keep a copy of the newest as last.ckpt; "link" makes it a symbolic link.
        save_top_k: how many of the best; -1 all, 0 none.
        save_on_exception: save when training fails.
        save_weights_only: leave optimizers, schedulers and callbacks out.
        mode: "min" or "max": which metric values are better.
        auto_insert_metric_name: "{epoch}" in `filename` becomes "epoch=3"; False: "3".
        every_n_train_steps, train_time_interval, every_n_epochs: when to save; at most one of them. Default: every epoch.
        save_on_train_epoch_end: whether epochs are saved after on_train_epoch_end or after validation. Default: the former,
            where validation runs once per epoch.
        enable_version_counter: append -v1, -v2 to a name that exists; False overwrites.

    Attributes:
        best_model_path, best_model_score: the best checkpoint, and its metric.
        last_model_path: the copy of the newest.

    Raises:
        MisconfigurationException: arguments that do not go together.
    """

    CHECKPOINT_JOIN_CHAR = "-"
    CHECKPOINT_EQUALS_CHAR = "="
    CHECKPOINT_NAME_LAST = "last"
    FILE_EXTENSION = ".ckpt"
    STARTING_VERSION = 1

    def __init__(
        self,
        dirpath: str | Path | None = None,
        filename: str | None = None,
        monitor: str | None = None,
        verbose: bool = False,
        save_last: bool | Literal["link"] | None = None,
        save_top_k: int = 1,
        save_on_exception: bool = False,
        save_weights_only: bool = False,
        mode: str = "min",
        auto_insert_metric_name: bool = True,
        every_n_train_steps: int | None = None,
        train_time_interval: timedelta | None = None,
        every_n_epochs: int | None = None,
        save_on_train_epoch_end: bool | None = None,
        enable_version_counter: bool = True,
    ) -> None:
        _check(monitor, save_top_k, mode, every_n_train_steps, every_n_epochs, train_time_interval)
        local = dirpath is not None and not storage.is_url(dirpath)
        self.dirpath = (
            os.path.realpath(os.path.expanduser(dirpath)) if dirpath is not None and local else dirpath
        )
        self.filename, self.monitor, self.verbose = filename, monitor, verbose
        self.save_last, self.save_top_k, self.mode = save_last, save_top_k, mode
        self.save_on_exception, self.save_weights_only = save_on_exception, save_weights_only
        self.auto_insert_metric_name = auto_insert_metric_name
        default = every_n_train_steps is None and every_n_epochs is None and train_time_interval is None
        self._every_n_train_steps = every_n_train_steps or 0
        self._every_n_epochs = 1 if default else every_n_epochs or 0
        self._train_time_interval = train_time_interval
        self._save_on_train_epoch_end = save_on_train_epoch_end
        self._enable_version_counter = enable_version_counter
        self._last_global_step_saved = 0  # nothing to save before the first step
        self._last_checkpoint_saved = ""
        self._last_time = time.monotonic()
        self._after_validation = False  # a save is due, but waits for a metric that only validation gives
        self.current_score: Tensor | None = None
        self.best_k_models: dict[str, Tensor] = {}
        self.kth_best_model_path = ""
        self.kth_value = torch.tensor(math.inf if mode == "min" else -math.inf)
        self.best_model_score: Tensor | None = None
        self.best_model_path = ""
        self.last_model_path = ""

    @property
    def state_key(self) -> str:
        return self._generate_state_key(
            monitor=self.monitor,
            mode=self.mode,
            every_n_train_steps=self._every_n_train_steps,
            every_n_epochs=self._every_n_epochs,
            train_time_interval=self._train_time_interval,
        )

    @property
    def every_n_epochs(self) -> int | None:
        return self._every_n_epochs

    def _uses(self, hook: str) -> bool:
        own = getattr(type(self), hook) is getattr(ModelCheckpoint, hook, None)
        by_batch = self._every_n_train_steps > 0 or self._train_time_interval is not None
        return by_batch or not own or hook != "on_train_batch_end"

    # -- when ---------------------------------------------------------------------------------------------------------------

    def setup(self, trainer: "Trainer", pl_module: "LightningModule", stage: str) -> None:
        self.dirpath = trainer.strategy.broadcast(self._folder(trainer))
        if self.save_last == "link" and storage.is_url(self.dirpath):
            raise ValueError(f"ModelCheckpoint(save_last='link'): {self.dirpath} knows no links; pass True.")
        if stage == "fit" and trainer.is_global_zero and self.save_top_k != 0:
            if not storage.is_url(self.dirpath):
                remove_leftovers(Path(self.dirpath))
            if trainer.resumed_from is None and storage.names(self.dirpath):
                warn(f"The checkpoint folder {self.dirpath} is not empty; new files get other names.")

    def on_train_start(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        self._last_time = time.monotonic()

    def on_train_batch_end(
        self, trainer: "Trainer", pl_module: "LightningModule", outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        by_step = self._every_n_train_steps > 0 and trainer.global_step % self._every_n_train_steps == 0
        if not by_step and self._train_time_interval is None:
            return
        by_time = not by_step and self._time_is_up(trainer)
        if not (by_step or by_time) or self._skips(trainer):
            return
        if self._waits_for_validation(trainer):
            self._after_validation = True
            return
        self._save(trainer)

    def _time_is_up(self, trainer: "Trainer") -> bool:
        if self._train_time_interval is None:
            return False
        up = time.monotonic() - self._last_time >= self._train_time_interval.total_seconds()
        up = bool(trainer.strategy.broadcast(up))  # clocks differ, and all ranks must save together
        if up:
            self._last_time = time.monotonic()
        return up

    def _waits_for_validation(self, trainer: "Trainer") -> bool:
        """Whether the monitored metric is not there yet, or will be newer after the validation that follows this batch."""
        if self.monitor is None:
            return False
        if self.monitor not in self._metrics(trainer):
            return trainer.enable_validation
        follows = trainer.is_last_batch and trainer.enable_validation
        return follows and not self._saves_on_train_epoch_end(trainer)

    def on_train_epoch_end(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        if not self._skips(trainer) and self._saves_on_train_epoch_end(trainer):
            self._save_epoch(trainer)

    def on_validation_end(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        if self._skips(trainer) or self._saves_on_train_epoch_end(trainer):
            return
        if self._after_validation:
            self._after_validation = False
            self._save(trainer)
            return
        self._save_epoch(trainer)

    def on_train_end(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        if self.save_last and not self._last_checkpoint_saved and not self._skips(trainer):
            self._save_copy(trainer, self._metrics(trainer))

    def on_exception(
        self, trainer: "Trainer", pl_module: "LightningModule", exception: BaseException
    ) -> None:
        if self.save_on_exception and not trainer.strategy.saves_by_itself:
            say(
                "litify: no checkpoint of the failed training: each process has a part of it, and they no longer answer"
            )
        elif self.save_on_exception and not self._skips(trainer):
            path = self.format_checkpoint_name(self._metrics(trainer))
            self._write(trainer, path)
            self._save_copy(trainer, self._metrics(trainer))
            say(f"litify: {type(exception).__name__} in training; saved {path}")

    def _skips(self, trainer: "Trainer") -> bool:
        return (
            bool(trainer.fast_dev_run)
            or trainer.state.fn != "fit"
            or trainer.sanity_checking
            or self._last_global_step_saved == trainer.global_step
        )

    def _saves_on_train_epoch_end(self, trainer: "Trainer") -> bool:
        if self._save_on_train_epoch_end is not None:
            return self._save_on_train_epoch_end
        if trainer.val_check_seconds is not None or trainer.check_val_every_n_epoch != 1:
            return False
        return (
            not trainer.enable_validation
            or sum(trainer.num_val_batches) == 0
            or trainer.val_check_interval == 1.0
        )

    def _save_epoch(self, trainer: "Trainer") -> None:
        if self._every_n_epochs >= 1 and (trainer.current_epoch + 1) % self._every_n_epochs == 0:
            self._save_top_k(trainer, self._metrics(trainer))
        if self._last_global_step_saved == trainer.global_step or (
            self.save_last == "link" and self._last_checkpoint_saved
        ):
            self._save_copy(trainer, self._metrics(trainer))

    # -- what ---------------------------------------------------------------------------------------------------------------

    def _save(self, trainer: "Trainer") -> None:
        metrics = self._metrics(trainer)
        self._save_top_k(trainer, metrics)
        self._save_copy(trainer, metrics)

    def _save_top_k(self, trainer: "Trainer", metrics: Metrics) -> None:
        if self.save_top_k == 0:
            return
        if self.monitor is None:
            self._save_newest(trainer, metrics)
            return
        current = metrics.get(self.monitor)
        if current is None:
            message = (
                f"ModelCheckpoint(monitor={self.monitor!r}): no such metric was logged; logged are {sorted(trainer.callback_metrics)}. "
                f"Call self.log({self.monitor!r}, ...) or monitor another."
            )
            waits = trainer.enable_validation and trainer.state.val_batch_idx < 0
            if waits or trainer.state.phase is Phase.BATCH_END:  # it may be logged when the epoch ends
                warn(message)
                return
            raise MisconfigurationException(message)
        if self.check_monitor_top_k(trainer, current):
            self._save_best(trainer, current, metrics)
        elif self.verbose:
            say(
                f"litify: epoch {trainer.current_epoch}, step {trainer.global_step}: {self.monitor} is not among the best {self.save_top_k}"
            )

    def check_monitor_top_k(self, trainer: "Trainer", current: Tensor | None = None) -> bool:
        """Whether a metric value is among the best k so far; the same answer on all ranks."""
        if current is None:
            return False
        if self.save_top_k == -1 or len(self.best_k_models) < self.save_top_k:
            return True
        worst = self.best_k_models[self.kth_best_model_path]
        better = bool(current < worst if self.mode == "min" else current > worst)
        return trainer.strategy.reduce_boolean_decision(better)

    def _save_newest(self, trainer: "Trainer", metrics: Metrics) -> None:
        path = self._free_name(trainer, metrics, self.best_model_path)
        previous, self.best_model_path = self.best_model_path, path
        self._write(trainer, path)
        if self.save_top_k == 1:
            self._remove(trainer, previous, path)

    def _save_best(self, trainer: "Trainer", current: Tensor, metrics: Metrics) -> None:
        k = len(self.best_k_models) + 1 if self.save_top_k == -1 else self.save_top_k
        dropped = ""
        if len(self.best_k_models) == k:
            dropped = self.kth_best_model_path
            self.best_k_models.pop(dropped)
        if torch.isnan(current):
            current = torch.tensor(math.inf if self.mode == "min" else -math.inf)
        path = self._free_name(trainer, metrics, dropped)
        self.current_score = current
        self.best_k_models[path] = current
        best, worst = (min, max) if self.mode == "min" else (max, min)
        if len(self.best_k_models) == k:
            self.kth_best_model_path = worst(self.best_k_models, key=self.best_k_models.__getitem__)
            self.kth_value = self.best_k_models[self.kth_best_model_path]
        self.best_model_path = best(self.best_k_models, key=self.best_k_models.__getitem__)
        self.best_model_score = self.best_k_models[self.best_model_path]
        if self.verbose:
            say(
                f"litify: epoch {trainer.current_epoch}, step {trainer.global_step}: {self.monitor}={float(current):.5f} (best "
                f"{float(self.best_model_score):.5f}), saved {path}"
            )
        self._write(trainer, path)
        self._remove(trainer, dropped, path)

    def _save_copy(self, trainer: "Trainer", metrics: Metrics) -> None:
        """last.ckpt, where it is asked for."""
        if not self.save_last:
            return
        path = self._free_name(trainer, metrics, self.last_model_path, self.CHECKPOINT_NAME_LAST)
        previous, self.last_model_path = self.last_model_path, path
        if self.save_last == "link" and self._last_checkpoint_saved and self.save_top_k != 0:
            _link(trainer, self._last_checkpoint_saved, path)
        else:
            self._write(trainer, path)
        self._remove(trainer, previous, path)

    def _write(self, trainer: "Trainer", path: str) -> None:
        trainer.save_checkpoint(path, self.save_weights_only)
        self._last_global_step_saved = trainer.global_step
        self._last_checkpoint_saved = path
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.after_save_checkpoint(self)

    def _remove(self, trainer: "Trainer", previous: str, current: str) -> None:
        """Delete a checkpoint that is no longer among the kept; never the one training was resumed from, nor one elsewhere."""
        if not previous or previous == current:
            return
        whole, origin = storage.whole(previous), trainer.resumed_from
        resumed = origin is not None and whole == storage.whole(origin)
        if not resumed and whole.startswith(os.path.join(storage.whole(self.dirpath or "."), "")):
            trainer.strategy.remove_checkpoint(previous)

    # -- names --------------------------------------------------------------------------------------------------------------

    def _metrics(self, trainer: "Trainer") -> Metrics:
        metrics = trainer.callback_metrics
        for name, value in (("epoch", trainer.current_epoch), ("step", trainer.global_step)):
            found = metrics.get(name)
            metrics[name] = torch.tensor(value) if found is None else found.int()
        return metrics

    def format_checkpoint_name(
        self, metrics: Metrics, filename: str | None = None, ver: int | None = None, prefix: str | None = None
    ) -> str:
        """The path for these metrics: `filename` (default: the callback's) with its fields filled in."""
        name = self._format(filename or self.filename or "{epoch}-{step}", metrics)
        if prefix is not None:
            name = f"{prefix}{self.CHECKPOINT_JOIN_CHAR}{name}"
        if ver is not None:
            name = f"{name}{self.CHECKPOINT_JOIN_CHAR}v{ver}"
        name += self.FILE_EXTENSION
        return os.path.join(self.dirpath, name) if self.dirpath else name

    def _format(self, pattern: str, metrics: Metrics) -> str:
        def fill(match: re.Match[str]) -> str:
            name, spec = match["name"], match["spec"] or ""
            value = metrics.get(name, 0)
            text = format(value.item() if isinstance(value, Tensor) and spec else value, spec)
            if isinstance(value, Tensor) and not spec:
                text = str(value.item())
            return f"{name}{self.CHECKPOINT_EQUALS_CHAR}{text}" if self.auto_insert_metric_name else text

        return re.sub(r"\{(?P<name>[^{}:]+)(?::(?P<spec>[^{}]*))?\}", fill, pattern)

    def _free_name(self, trainer: "Trainer", metrics: Metrics, own: str, filename: str | None = None) -> str:
        """A name that no other file has; `own` may be overwritten."""
        path = self.format_checkpoint_name(metrics, filename)
        version = self.STARTING_VERSION
        while self._enable_version_counter and path != own and self.file_exists(path, trainer):
            path = self.format_checkpoint_name(metrics, filename, ver=version)
            version += 1
        return path

    def file_exists(self, filepath: str | Path, trainer: "Trainer") -> bool:
        """Whether rank 0 sees the file; the same answer on all ranks."""
        there = storage.exists(filepath) if trainer.is_global_zero else False
        return trainer.strategy.reduce_boolean_decision(there, all=False)

    def _folder(self, trainer: "Trainer") -> str:
        if self.dirpath is not None:
            return str(self.dirpath)
        if not trainer.loggers:
            return os.path.join(trainer.default_root_dir, "checkpoints")
        logger = trainer.loggers[0]
        root = trainer.default_root_dir if logger.save_dir is None else str(logger.save_dir)
        version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
        return os.path.join(root, str(logger.name), version, "checkpoints")

    def last_candidates(self, trainer: Any) -> list[str]:
        """Checkpoints to go on from, best first: last.ckpt, its versions and what Ctrl-C left, then all others of the folder.

        The newest comes first in each part.
        """
        folder = str(self.dirpath or self._folder(trainer))
        newest = re.compile(
            rf"({re.escape(self.CHECKPOINT_NAME_LAST)}(-.*)?|interrupted){re.escape(self.FILE_EXTENSION)}$"
        )
        found = [
            (bool(newest.match(name)), storage.modified(path), name, path)
            for name in storage.names(folder)
            if name.endswith(self.FILE_EXTENSION) and storage.exists(path := os.path.join(folder, name))
        ]
        return [path for *_, path in sorted(found, reverse=True)]

    def to_yaml(self, filepath: str | Path | None = None) -> None:
        """The best checkpoints and their scores as a YAML file; default: best_k_models.yaml beside them."""
        import yaml  # type: ignore[import-untyped]

        with storage.open_file(
            filepath or os.path.join(self.dirpath or ".", "best_k_models.yaml"), "w"
        ) as file:
            yaml.safe_dump({name: score.item() for name, score in self.best_k_models.items()}, file)

    # -- state --------------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        names = ("monitor", "best_model_score", "best_model_path", "current_score", "dirpath", "best_k_models",
                 "kth_best_model_path", "kth_value", "last_model_path")  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict.get("dirpath", self.dirpath) == self.dirpath:
            for name in (
                "best_model_score",
                "kth_best_model_path",
                "kth_value",
                "best_k_models",
                "last_model_path",
            ):
                setattr(self, name, state_dict.get(name, getattr(self, name)))
        else:
            warn(
                f"The checkpoint folder was {state_dict['dirpath']} and is {self.dirpath} now: of the state of ModelCheckpoint only "
                "best_model_path is kept."
            )
        self.best_model_path = state_dict["best_model_path"]


def _link(trainer: "Trainer", target: str, link: str) -> None:
    """Make `link` point to `target`, or copy it where links are not allowed."""
    if trainer.is_global_zero and os.path.abspath(target) != os.path.abspath(link):
        if os.path.islink(link) or os.path.exists(link):
            os.remove(link)
        try:
            os.symlink(os.path.relpath(target, os.path.dirname(link)), link)
        except OSError:
            shutil.copy(target, link)
    trainer.strategy.barrier("link")


def _check(
    monitor: str | None,
    save_top_k: int,
    mode: str,
    steps: int | None,
    epochs: int | None,
    interval: timedelta | None,
) -> None:
    if mode not in ("min", "max"):
        raise MisconfigurationException(f"ModelCheckpoint(mode={mode!r}): pass 'min' or 'max'.")
    if save_top_k < -1:
        raise MisconfigurationException(
            f"ModelCheckpoint(save_top_k={save_top_k}): pass a number, 0 for none or -1 for all."
        )
    for name, value in (("every_n_train_steps", steps), ("every_n_epochs", epochs)):
        if value is not None and value < 0:
            raise MisconfigurationException(f"ModelCheckpoint({name}={value}): pass 0 or more.")
    if bool(steps) + bool(epochs) + (interval is not None) > 1:
        raise MisconfigurationException(
            f"ModelCheckpoint(every_n_train_steps={steps}, every_n_epochs={epochs}, train_time_interval={interval}): pass one of them; use "
            "two callbacks for two."
        )
    if monitor is None and save_top_k not in (-1, 0, 1):
        raise MisconfigurationException(
            f"ModelCheckpoint(save_top_k={save_top_k}) needs monitor= to know which are best."
        )
