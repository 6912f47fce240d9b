"""What is attached to a Trainer: loggers, callbacks, and the checkpoints that these have written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litify import restarts
from litify.callbacks.base import Callback
from litify.callbacks.slurm_requeue import callback_for, left_by_signal, newest
from litify.classic.hooks import callbacks_for
from litify.hooks import replaced
from litify.rank_zero import warn
from litify.state import TrainerFn
from litify.status import Status

if TYPE_CHECKING:
    from litify.module import LightningModule


class Attached(Status):
    """The Trainer's loggers and callbacks, chosen at the start, and looked up later."""

    # -- loggers -------------------------------------------------------------------------------------------------------------------

    @property
    def loggers(self) -> list[Any]:
        return self._loggers

    @loggers.setter
    def loggers(self, loggers: list[Any] | None) -> None:
        self._loggers = loggers or []

    @property
    def logger(self) -> Any:
        """The first logger, or None."""
        return self.loggers[0] if self.loggers else None

    @logger.setter
    def logger(self, logger: Any) -> None:
        self.loggers = [logger] if logger else []

    def make_loggers(self, asked: Any, fast: int) -> list[Any]:
        """The Trainer's `logger` argument as a list; with fast_dev_run, one that logs nothing."""
        if asked is False:
            return []
        if fast:
            from litify.loggers.dummy import DummyLogger

            return [DummyLogger()]
        if asked is None or asked is True:
            from litify.loggers import default_logger  # TensorBoard costs half a second to import

            return [default_logger(self.default_root_dir)]
        return list(asked) if isinstance(asked, (list, tuple)) else [asked]

    @property
    def log_dir(self) -> str | None:
        """The folder of this run; the same on all ranks."""
        if not self.loggers:
            return self.default_root_dir
        first = self.loggers[0]
        found = getattr(first, "log_dir", None) or getattr(first, "save_dir", None)
        answer: str | None = self.strategy.broadcast(None if found is None else str(found))
        return answer

    def log_hyperparameters(self, module: LightningModule) -> None:
        """Hyperparameters of module and data module to the loggers."""
        found: dict[str, Any] = {}
        for owner in (self.datamodule, module):
            if owner is not None and owner._log_hyperparams:
                initial = owner.hparams_initial
                clash = [key for key in found.keys() & initial.keys() if not _same(found[key], initial[key])]
                if clash:
                    raise RuntimeError(
                        f"Hyperparameters {sorted(map(str, clash))} differ between the module and its data module; rename them in one."
                    )
                found.update(initial)
        for logger in self.loggers if self.enable_autolog_hparams else ():
            if self.is_global_zero:
                if found:
                    logger.log_hyperparams(found)
                logger.log_graph(module)
                logger.save()

    # -- callbacks -------------------------------------------------------------------------------------------------------------------

    def set_callbacks(self, given: dict[str, Any], fast: int) -> None:
        """The callbacks given, and the default ones where they are wanted and missing."""
        from litify.callbacks.defaults import complete  # its callbacks know the Trainer

        self.callbacks = complete(self, given, fast)

    def attach_callbacks(self, module: LightningModule) -> None:
        """Callbacks that the module brings; one replaces the Trainer's of the same class. Checkpoints come last."""
        brought = module.configure_callbacks() if replaced("configure_callbacks", module) else []
        brought = list(brought) if isinstance(brought, (list, tuple)) else [brought]
        brought += callbacks_for(module)
        brought += requeue_callback(self.strategy)
        kinds = {type(callback) for callback in brought}
        kept = [callback for callback in self.callbacks if type(callback) not in kinds]
        self.callbacks = checkpoints_last([*kept, *brought])
        for callback in self.callbacks:
            for name in ("log", "log_dict"):
                if not hasattr(callback, name):
                    vars(callback)[name] = getattr(module, name)

    @property
    def checkpoint_callbacks(self) -> list[Any]:
        from litify.callbacks.checkpoint import Checkpoint

        return [callback for callback in self.callbacks if isinstance(callback, Checkpoint)]

    @property
    def checkpoint_callback(self) -> Any:
        """The first checkpoint callback, or None."""
        found = self.checkpoint_callbacks
        return found[0] if found else None

    @property
    def early_stopping_callbacks(self) -> list[Any]:
        from litify.callbacks.early_stopping import EarlyStopping

        return [callback for callback in self.callbacks if isinstance(callback, EarlyStopping)]

    @property
    def early_stopping_callback(self) -> Any:
        found = self.early_stopping_callbacks
        return found[0] if found else None

    @property
    def progress_bar_callback(self) -> Any:
        from litify.callbacks.progress import ProgressBar

        return next((callback for callback in self.callbacks if isinstance(callback, ProgressBar)), None)

    # -- checkpoints -------------------------------------------------------------------------------------------------------------------

    def find_checkpoint(self, asked: Any, fn: TrainerFn, model_given: bool) -> list[str]:
        """The file that `ckpt_path` means; for "last" also older ones, the newest first, should it turn out to be damaged.

        Where the job was interrupted and goes on by itself, what this fit wrote then comes first.

        Raises:
            ValueError: "best" or "hpc" where no such checkpoint is known.
        """
        again = []
        if fn is TrainerFn.FITTING:
            again = restarts.checkpoints() or left_by_signal(self.default_root_dir)
        return again or self._asked_for(asked, fn, model_given)

    def _asked_for(self, asked: Any, fn: TrainerFn, model_given: bool) -> list[str]:
        callback = self.checkpoint_callback
        best = getattr(callback, "best_model_path", "")
        if asked is None:
            if model_given or fn is TrainerFn.FITTING or not best:
                return []
            warn(f"Trainer.{fn}() got neither a module nor ckpt_path: it uses the best checkpoint, {best}.")
            return [str(best)]
        if asked == "best":
            if not best:
                raise ValueError(
                    "ckpt_path='best': no best checkpoint is known; fit with a ModelCheckpoint that monitors a metric first."
                )
            return [str(best)]
        if asked == "hpc":
            found = newest(self.default_root_dir)
            if not found:
                raise ValueError(
                    f"ckpt_path='hpc': no time limit has left a checkpoint in {self.default_root_dir}; pass a path or 'last'."
                )
            return found
        if asked == "last":
            found = [str(path) for each in self.checkpoint_callbacks for path in each.last_candidates(self)]
            if not found:
                warn("ckpt_path='last': there is no checkpoint yet, so nothing is loaded.")
            return found
        return [str(asked)]


def requeue_callback(strategy: Any) -> list[Callback]:
    """In a job of SLURM, what saves and requeues at its time limit."""
    callback = callback_for(strategy)
    return [] if callback is None else [callback]


def checkpoints_last(callbacks: list[Callback]) -> list[Callback]:
    """Checkpoint callbacks after the others, which may change what is saved."""
    from litify.callbacks.checkpoint import Checkpoint

    return sorted(callbacks, key=lambda callback: isinstance(callback, Checkpoint))


def _same(a: Any, b: Any) -> bool:
    try:
        return bool(a == b)
    except (RuntimeError, ValueError):  # tensors and arrays of several elements
        return a is b
