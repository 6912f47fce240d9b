"""Trainer: the arguments, their checks, and fit / validate / test / predict."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from litify import checkpoint, flags, profilers, restarts, settings
from litify.attached import Attached
from litify.callbacks.base import Callback
from litify.classic import arguments
from litify.compiling import compiler_of
from litify.datamodule import LightningDataModule
from litify.errors import MisconfigurationException
from litify.module import LightningModule
from litify.place import choose
from litify.rank_zero import PossibleUserWarning, warn
from litify.running import call
from litify.state import State, TrainerFn
from litify.strategies.base import Strategy

CkptPath = str | Path | None


class Trainer(Attached):
    """Runs the engineering around a LightningModule: loops, devices, precision, logging, checkpoints.

    Args:
        accelerator: "auto", "cpu", "gpu", "cuda", "mps", "tpu", or an Accelerator.
        strategy: "auto", a name from `litify.strategies.STRATEGIES`, or a Strategy.
        devices: a number, a list of indices, "0,2", -1 for all; "auto" is one.
        num_nodes: machines that train together.
        precision: "32-true" (32), "64-true" (64), "16-mixed" (16), "bf16-mixed" ("bf16"), "16-true", "bf16-true".
        logger: True for TensorBoard under default_root_dir/lightning_logs, False for none, a logger, or several.
        callbacks: a Callback or several; a checkpoint callback and a progress bar are added where there is none.
        fast_dev_run: True or a number: so many batches of each kind, no logger, no checkpoints.
        max_epochs, min_epochs: epochs; max_epochs None is 1000 where max_steps and max_time don't say otherwise; -1 is no end.
        max_steps, min_steps: optimizer steps; -1 is no end.
        max_time: "DD:HH:MM:SS", a timedelta, or its arguments as a dictionary.
        limit_train_batches, limit_val_batches, limit_test_batches, limit_predict_batches: a number of batches (int) or a
            fraction (float).
        overfit_batches: train and validate on so many (or this fraction of the) batches, always the same.
        val_check_interval: validate after so many batches (int), this fraction of an epoch (float), or this time.
        check_val_every_n_epoch: validate every so many epochs; None counts val_check_interval over epochs.
        num_sanity_val_steps: validation batches before training; -1 is all.
        log_every_n_steps: optimizer steps between two rows for the loggers.
        enable_checkpointing, enable_progress_bar: whether the default callback and bar are used.
        enable_model_summary: None says in a few lines what is trained, True adds a table of the layers, False says nothing.
        accumulate_grad_batches: batches per optimizer step.
        gradient_clip_val, gradient_clip_algorithm: clip by total "norm" (default) or each "value".
        deterministic: True, False or "warn", for torch.use_deterministic_algorithms.
        benchmark: torch.backends.cudnn.benchmark.
        inference_mode: torch.inference_mode in validate, test and predict; False is torch.no_grad.
        use_distributed_sampler: give each process its part of the data.
        profiler: "simple", "advanced", "pytorch", or a Profiler; None records nothing.
        detect_anomaly: torch.autograd.set_detect_anomaly.
        barebones: nothing besides training itself, to measure what that costs.
        plugins: None, or precision plugins as Precision objects.
        sync_batchnorm: exchange batch norm statistics between processes.
        reload_dataloaders_every_n_epochs: ask for the loaders anew every so many epochs; 0 is never.
        default_root_dir: where logs and checkpoints go; default: the working directory.
        enable_autolog_hparams: whether loggers get hyperparameters.

    The arguments of Lightning 0.7 to 1.x (gpus=4, max_nb_epochs=3 ...) are taken too (`classic`). Flags given to `litify run` win
    over all of them.

    Raises:
        TypeError: an argument that is neither of today nor of 1.x.
        MisconfigurationException: arguments that do not go together.
    """

    def __init__(
        self,
        *,
        accelerator: Any = "auto",
        strategy: str | Strategy = "auto",
        devices: list[int] | str | int = "auto",
        num_nodes: int = 1,
        precision: int | str | None = None,
        logger: Any = None,
        callbacks: list[Callback] | Callback | None = None,
        fast_dev_run: int | bool = False,
        max_epochs: int | None = None,
        min_epochs: int | None = None,
        max_steps: int = -1,
        min_steps: int | None = None,
        max_time: str | timedelta | dict[str, int] | None = None,
        limit_train_batches: float | None = None,
        limit_val_batches: float | None = None,
        limit_test_batches: float | None = None,
        limit_predict_batches: float | None = None,
        overfit_batches: float = 0.0,
        val_check_interval: Any = None,
        check_val_every_n_epoch: int | None = 1,
        num_sanity_val_steps: int | None = None,
        log_every_n_steps: int | None = None,
        enable_checkpointing: bool | None = None,
        enable_progress_bar: bool | None = None,
        enable_model_summary: bool | None = None,
        accumulate_grad_batches: int = 1,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
        deterministic: bool | str | None = None,
        benchmark: bool | None = None,
        inference_mode: bool = True,
        use_distributed_sampler: bool = True,
        profiler: Any = None,
        detect_anomaly: bool = False,
        barebones: bool = False,
        plugins: Any = None,
        sync_batchnorm: bool = False,
        reload_dataloaders_every_n_epochs: int = 0,
        default_root_dir: str | Path | None = None,
        enable_autolog_hparams: bool = True,
        model_registry: str | None = None,
        suggest_integrations: bool = True,
        **classic: Any,
    ) -> None:
        given = {
            name: value for name, value in locals().items() if name not in ("self", "__class__", "classic")
        }
        self._configure({**arguments.modern(given, classic), **flags.given()})
        arguments.after_init(self, classic)

    def _configure(self, given: dict[str, Any]) -> None:
        """Take checked arguments; attributes have their names."""
        given = settings.from_environment(given, Trainer.__init__)
        if given["barebones"]:
            given = settings.barebones(given)
        interval = 1.0 if given["val_check_interval"] is None else given["val_check_interval"]
        settings.check(
            given["fast_dev_run"], given["accumulate_grad_batches"], given["gradient_clip_val"], given["gradient_clip_algorithm"],
            given["max_epochs"], given["max_steps"], given["check_val_every_n_epoch"], interval,
            given["reload_dataloaders_every_n_epochs"],
        )  # fmt: skip
        settings.deterministic(given["deterministic"], given["benchmark"])
        super().__init__()
        fast = int(given["fast_dev_run"])
        self.state = State()
        self.profiler = profilers.make(given["profiler"])
        for name in PLAIN:
            setattr(self, name, given[name])
        self.fast_dev_run = True if given["fast_dev_run"] == 1 else given["fast_dev_run"]
        for name, value in settings.batch_limits(given, given["overfit_batches"], fast).items():
            setattr(self, name, value)
        self.overfit_batches = settings.limit(given["overfit_batches"], "overfit_batches")
        self._configure_validation(interval)
        settings.tell_ones(given)
        self.log_every_n_steps = 50 if given["log_every_n_steps"] is None else given["log_every_n_steps"]
        self.num_sanity_val_steps = _sanity_steps(given["num_sanity_val_steps"], fast)
        self.enable_model_summary = given["enable_model_summary"] is not False
        self.default_root_dir = os.path.expanduser(given["default_root_dir"] or os.getcwd())
        self.strategy = choose(given)
        self.loggers = self.make_loggers(given["logger"], fast)
        self.set_callbacks(given, fast)
        self._set_lengths(given, fast)

    def _configure_validation(self, interval: Any) -> None:
        self.val_check_seconds: float | None = None
        if isinstance(interval, (str, timedelta, dict)):
            span = settings.duration(interval, "val_check_interval")
            assert span is not None
            self.val_check_seconds, interval = span.total_seconds(), 1.0
        elif isinstance(interval, float) and not 0 <= interval <= 1:
            raise MisconfigurationException(
                f"Trainer(val_check_interval={interval}): pass a fraction from 0.0 to 1.0, or a number of batches (int)."
            )
        self.val_check_interval = interval
        self.last_val_time = time.monotonic()

    def _set_lengths(self, given: dict[str, Any], fast: int) -> None:
        """How long fit goes on. `max_epochs` that nobody gave is None until fit."""
        self.max_epochs, self.min_epochs = given["max_epochs"], given["min_epochs"]
        self.max_steps, self.min_steps = given["max_steps"], given["min_steps"]
        if fast:
            self.max_epochs, self.max_steps, self.num_sanity_val_steps = 1, fast, 0
            self.val_check_interval, self.check_val_every_n_epoch = 1.0, 1
        if self.min_epochs is None:
            self.min_epochs = 1 if self.min_steps is not None else 0

    add_argparse_args = staticmethod(arguments.add_argparse_args)
    from_argparse_args = classmethod(arguments.from_argparse_args)

    # -- what users call ---------------------------------------------------------------------------------------------------

    @arguments.keywords(train_dataloader="train_dataloaders", val_dataloader="val_dataloaders")
    def fit(
        self,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        ckpt_path: CkptPath = None,
        weights_only: bool | None = None,
    ) -> None:
        """Train.

        Args:
            train_dataloaders: a loader, several, or a LightningDataModule; None asks the module or its data module.
            val_dataloaders: a loader or several.
            ckpt_path: a checkpoint to go on from: a path, "last" for the newest, "best".
            weights_only: False to load a checkpoint that holds objects of your own classes.

        Raises:
            MisconfigurationException: module, data and arguments do not go together.
            Interrupted: after Ctrl-C, checkpoint written; a SystemExit with code 130.
        """
        self.should_stop = False
        restarts.begin_fit()
        model = self.attach(model, datamodule, train=train_dataloaders, val=val_dataloaders)
        if self.max_epochs is None:
            self.max_epochs = self._default_max_epochs()
        paths = self.find_checkpoint(
            ckpt_path if ckpt_path is not None else flags.ckpt_path(), TrainerFn.FITTING, True
        )
        call(self, TrainerFn.FITTING, model, paths, weights_only)

    @arguments.keywords(val_dataloaders="dataloaders")
    def validate(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        ckpt_path: CkptPath = None,
        verbose: bool = True,
        datamodule: LightningDataModule | None = None,
        weights_only: bool | None = None,
    ) -> list[dict[str, float]]:
        """One pass over validation data.

        Args:
            model: the module; None takes that of the previous call, with the best checkpoint of fit where there is one.
            ckpt_path: a path, "best" or "last".
            verbose: print the metrics.

        Returns:
            A dictionary of metrics per loader.
        """
        return self._evaluate(
            TrainerFn.VALIDATING, "val", model, dataloaders, ckpt_path, verbose, datamodule, weights_only
        )

    @arguments.keywords(test_dataloaders="dataloaders")
    def test(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        ckpt_path: CkptPath = None,
        verbose: bool = True,
        datamodule: LightningDataModule | None = None,
        weights_only: bool | None = None,
    ) -> list[dict[str, float]]:
        """One pass over test data. Arguments and result as in `validate`."""
        return self._evaluate(
            TrainerFn.TESTING, "test", model, dataloaders, ckpt_path, verbose, datamodule, weights_only
        )

    def _evaluate(
        self, fn: TrainerFn, kind: str, model: Any, dataloaders: Any, ckpt_path: CkptPath, verbose: bool, datamodule: Any,
        weights_only: bool | None,
    ) -> list[dict[str, float]]:  # fmt: skip
        module = self.attach(self._known(model, fn), datamodule, **{kind: dataloaders})
        paths = self.find_checkpoint(ckpt_path, fn, model is not None)
        answer: list[dict[str, float]] = call(self, fn, module, paths, weights_only, verbose=verbose)
        return answer

    @arguments.keywords(predict_dataloaders="dataloaders")
    def predict(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        return_predictions: bool | None = None,
        ckpt_path: CkptPath = None,
        weights_only: bool | None = None,
    ) -> list[Any] | None:
        """One pass of predict_step.

        Args:
            return_predictions: False keeps none, to save memory. With strategies that make processes from this one
                (ddp_spawn, ddp_fork) none can be returned; a BasePredictionWriter writes them.

        Returns:
            A list of predictions per batch; with several loaders, a list of such lists.
        """
        module = self.attach(self._known(model, TrainerFn.PREDICTING), datamodule, predict=dataloaders)
        paths = self.find_checkpoint(ckpt_path, TrainerFn.PREDICTING, model is not None)
        answer: list[Any] | None = call(
            self, TrainerFn.PREDICTING, module, paths, weights_only, return_predictions=return_predictions
        )
        return answer

    def _default_max_epochs(self) -> int:
        if self.max_steps != -1 or self.has_timer:
            return -1
        warn(
            "max_epochs was not set: training stops after 1000 epochs. Pass max_epochs, or -1 for no end.",
            PossibleUserWarning,
        )
        return 1000

    def _known(self, model: LightningModule | None, fn: TrainerFn) -> LightningModule:
        if model is not None:
            return model
        if self.module is None:
            raise TypeError(f"Trainer.{fn}() has no module yet: pass one, or call fit first.")
        return self.module

    def attach(self, module: Any, datamodule: LightningDataModule | None, **sources: Any) -> LightningModule:
        """Keep the module and where its data come from. Returns the module, without torch.compile's wrapper.

        Raises:
            TypeError: not a LightningModule.
            MisconfigurationException: loaders and a data module at once.
        """
        self.compiler = compiler_of(module)
        module = getattr(module, "_orig_mod", module)  # made by torch.compile
        if not isinstance(module, LightningModule):
            raise TypeError(
                f"The Trainer runs a LightningModule, not a {type(module).__name__}; derive the class from LightningModule."
            )
        loaders = [source for source in sources.values() if source is not None]
        if loaders and isinstance(loaders[0], LightningDataModule):
            datamodule, sources, loaders = loaders[0], {}, loaders[1:]
        if loaders and datamodule is not None:
            raise MisconfigurationException("Pass either loaders or a data module, not both.")
        self.module = self.strategy.module = module
        self.datamodule = datamodule
        if datamodule is not None:
            datamodule.trainer = self
        self.sources = {kind: source for kind, source in sources.items() if source is not None}
        return module

    @contextmanager
    def init_module(self, empty_init: bool | None = None) -> Iterator[None]:
        """Modules made within are made on the device, and in the precision, that training will have.

        Args:
            empty_init: True leaves weights uninitialized, for a checkpoint that is loaded into them.
        """
        with self.strategy.tensor_init_context(empty_init):
            yield

    def save_checkpoint(
        self, filepath: str | Path, weights_only: bool = False, storage_options: Any = None
    ) -> None:
        """Write a checkpoint of the training as it stands. All processes call this; rank 0 writes.

        Args:
            weights_only: leave optimizers, schedulers and callbacks out.
            storage_options: for a CheckpointIO plugin that takes some.

        Raises:
            AttributeError: no module was run yet.
        """
        self.strategy.save_checkpoint(checkpoint.dump(self, bool(weights_only)), filepath, storage_options)
        self.strategy.barrier("save_checkpoint")
        if self.is_running and self.state.fn is TrainerFn.FITTING and not weights_only:
            restarts.note_checkpoint(filepath)


# Arguments that become attributes as they are.
PLAIN = (
    "num_nodes", "check_val_every_n_epoch", "accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm",
    "inference_mode", "use_distributed_sampler", "detect_anomaly", "barebones", "sync_batchnorm",
    "reload_dataloaders_every_n_epochs", "enable_autolog_hparams",
)  # fmt: skip


def _sanity_steps(steps: int | None, fast: int) -> float:
    if fast:
        return 0
    if steps is None:
        return 2
    return float("inf") if steps == -1 else steps


def several(thing: Any) -> list[Any]:
    """A list of what was given alone or as several."""
    if thing is None:
        return []
    return list(thing) if isinstance(thing, Iterable) else [thing]
