"""BatchSizeFinder: tries ever larger batches, until memory or data are at an end."""

from __future__ import annotations

import gc
from collections.abc import Sized
from typing import TYPE_CHECKING, Any

import torch

from litify.attribute import lightning_hasattr, lightning_setattr
from litify.callbacks.base import Callback
from litify.errors import MisconfigurationException, SearchOver
from litify.rank_zero import say, warn
from litify.seed import isolate_rng

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.trainer import Trainer

# How the backends that have no error class of their own say that memory is short.
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "CUDNN_STATUS_NOT_SUPPORTED", "RESOURCE_EXHAUSTED")


def is_oom_error(error: BaseException) -> bool:
    """Whether an error says that a device's memory is used up."""
    return isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in OUT_OF_MEMORY)


class BatchSizeFinder(Callback):
    """Searches a batch size when fit, validate, test or predict starts, sets it, and lets that go on.

    Loaders must be made by the module or a data module, from an attribute (or hyperparameter) that says the batch size.

    Args:
        mode: "power" doubles as long as memory lasts; "binsearch" also searches between what worked and what did not.
        steps_per_trial: steps at each size.
        init_val: the first size.
        max_trials: sizes to try at most.
        batch_arg_name: the attribute.
        margin: share taken off the found size, for "binsearch".
        max_val: the largest size to try.

    Attributes:
        optimal_batch_size: the size found.

    Raises:
        ValueError: another mode, or a margin not in [0, 1).
        MisconfigurationException: loaders were passed to the Trainer, nothing has the attribute, or several processes run.
    """

    SUPPORTED_MODES = ("power", "binsearch")

    def __init__(
        self,
        mode: str = "power",
        steps_per_trial: int = 3,
        init_val: int = 2,
        max_trials: int = 25,
        batch_arg_name: str = "batch_size",
        margin: float = 0.05,
        max_val: int = 8192,
    ) -> None:
        if mode.lower() not in self.SUPPORTED_MODES:
            raise ValueError(f"BatchSizeFinder(mode={mode!r}): pass 'power' or 'binsearch'.")
        if not 0.0 <= margin < 1.0:
            raise ValueError(f"BatchSizeFinder(margin={margin}): pass a share from 0 up to, but not, 1.")
        self._mode, self._steps, self._init_val = mode.lower(), steps_per_trial, init_val
        self._max_trials, self._name, self._margin, self._max_val = (
            max_trials,
            batch_arg_name,
            margin,
            max_val,
        )
        self._early_exit = False  # the Tuner wants the search alone
        self.optimal_batch_size: int | None = init_val

    @staticmethod
    def check_place(world_size: int) -> None:
        """Refuse several processes: memory ends in one of them, and the others would wait for its gradients."""
        if world_size > 1:
            raise MisconfigurationException(
                f"The batch size finder runs in one process, not in {world_size}; search with devices=1, then train with the size found."
            )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str = "") -> None:
        self.check_place(trainer.world_size)
        if trainer.sources:
            raise MisconfigurationException(
                "The batch size finder cannot change loaders that were passed in; make them in the module or a data module."
            )
        if not lightning_hasattr(pl_module, self._name):
            raise MisconfigurationException(
                f"The batch size finder sets {self._name!r}, but neither {type(pl_module).__name__} nor its data module has it."
            )
        if hasattr(pl_module, self._name) and self._name in pl_module.hparams:
            warn(
                f"{type(pl_module).__name__} has both {self._name} and hparams.{self._name}; the batch size finder sets both."
            )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.scale_batch_size(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "validate":
            self.scale_batch_size(trainer, pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.scale_batch_size(trainer, pl_module)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.scale_batch_size(trainer, pl_module)

    def scale_batch_size(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Search now. Also for subclasses that do so elsewhere."""
        if trainer.fast_dev_run:
            warn("Trainer(fast_dev_run=...): the batch size finder is skipped.")
            self.optimal_batch_size = None
        else:
            self.optimal_batch_size = self._search(trainer, pl_module)
            self._reload(trainer)
        if self._early_exit:
            raise SearchOver

    def _search(self, trainer: Trainer, module: LightningModule) -> int:
        from litify.trial import aside  # builds on callbacks

        if trainer.state.fn == "fit":
            steps = trainer.global_step + self._steps
            changes: dict[str, Any] = {
                "max_steps": steps, "limit_train_batches": 1.0, "limit_val_batches": self._steps
            }  # fmt: skip
        else:
            job = trainer.eval_job
            assert job is not None and job.loaders is not None
            if len(job.loaders.flat) > 1:
                raise MisconfigurationException(
                    f"The batch size finder takes one {job.short} loader; there are {len(job.loaders.flat)}."
                )
            changes = {f"limit_{job.short}_batches": self._steps}
        with aside(trainer, **changes):
            size = self._largest(trainer, module)
        if self._mode == "binsearch":
            size = max(1, int(size * (1 - self._margin)))
        lightning_setattr(module, self._name, size)
        say(f"litify: {self._name} {size}")
        return size

    def _largest(self, trainer: Trainer, module: LightningModule) -> int:
        size, low, high = (
            min(self._init_val, self._max_val),
            0,
            0,
        )  # low: the largest that works; high: the smallest not
        trials, latest = 0, ""
        while trials < self._max_trials:
            if latest:
                say(f"litify: {latest}, trying batch size {size}")
            lightning_setattr(module, self._name, size)
            samples = self._try(trainer, size)
            if samples is None:
                high = size
                trials += self._mode == "power"
            else:
                low, trials = size, trials + 1
                if size >= samples:
                    say(f"litify: {self._name} {size} takes all {samples} samples at once")
                if size >= min(samples, self._max_val):
                    break
            latest = f"{self._name} {size} " + ("fits" if samples is not None else "needs too much memory")
            if high and (high - low <= 1 or (self._mode == "power" and low)):
                break
            size = (low + high) // 2 if high else min(low * 2, self._max_val)
        return low or size

    def _try(self, trainer: Trainer, size: int) -> float | None:
        """Some steps. Returns the number of samples there are; None where memory did not suffice."""
        from litify.trial import try_evaluation, try_fit

        try:
            fits = trainer.state.fn == "fit"
            job = try_fit(trainer, trainer.lr_scheduler_configs) if fits else try_evaluation(trainer)
        except RuntimeError as error:
            if not is_oom_error(error) or size <= 1:
                raise
            error.__traceback__ = None  # its frames hold the tensors that did not fit
            failed = True
        else:
            failed = False
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if failed:
            return None
        assert job.loaders is not None
        sets = [getattr(loader, "dataset", None) for loader in job.loaders.flat]
        return max((len(data) for data in sets if isinstance(data, Sized)), default=float("inf"))

    def _reload(self, trainer: Trainer) -> None:
        """Loaders of the new size: for who goes on with an evaluation, or looks at the Trainer after a search alone."""
        job = trainer.job if trainer.state.fn == "fit" else trainer.eval_job
        assert job is not None
        job.loaders = None
        if self._early_exit:
            with isolate_rng():
                job.load()
                if trainer.state.fn == "fit" and trainer.eval_job is not None:
                    trainer.eval_job.load()
