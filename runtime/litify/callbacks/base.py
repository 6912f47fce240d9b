"""Callback: code that runs at the Trainer's hooks and belongs to no model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from litify.classic.hooks import modernize_callback

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from litify.module import LightningModule
    from litify.trainer import Trainer


class Callback:
    """Override what is needed. Each hook gets the trainer and the module; only overridden hooks are called."""

    monitors: ClassVar[bool] = False
    """Whether it looks at metrics, and so runs after the other callbacks and the module at the end of an epoch."""

    if TYPE_CHECKING:  # given to each callback while a Trainer runs it: no hooks, and not there otherwise
        log: Callable[..., None]
        """`LightningModule.log` of the module that runs."""
        log_dict: Callable[..., None]

    def _uses(self, hook: str) -> bool:
        """Whether an overridden hook has anything to do as this callback is set up; if not, it costs nothing per batch."""
        return True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        modernize_callback(cls)

    @property
    def state_key(self) -> str:
        """Its key in a checkpoint's "callbacks"; make it unique where two of a class may be used."""
        return type(self).__qualname__

    def _generate_state_key(self, **arguments: Any) -> str:
        return f"{type(self).__qualname__}{arguments!r}"

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """The beginning of fit, validate, test or predict."""

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """The end of fit, validate, test or predict."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Fit begins: model on its device."""

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Fit is over."""

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The sanity check begins."""

    def on_sanity_check_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The sanity check is over."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Before a training batch."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After a training batch and its optimizer step."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A training epoch begins."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A training epoch is over, its validation included."""

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A pass over the validation data begins."""

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A pass over the validation data is over."""

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A pass over the test data begins."""

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A pass over the test data is over."""

    def on_predict_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A pass over the data to predict begins."""

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A pass over the data to predict is over."""

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Before a validation batch."""

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """After a validation batch."""

    def on_test_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Before a test batch."""

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """After a test batch."""

    def on_predict_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Before a batch to predict."""

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """After a batch to predict."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Training begins, after the sanity check."""

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Training is over."""

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validation begins."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validation is over, its metrics sent to the loggers."""

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Test begins."""

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Test is over."""

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prediction begins."""

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prediction is over."""

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Fit, validate, test or predict ends by this exception."""

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Before backward."""

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After backward."""

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Gradients are complete, not yet clipped."""

    def on_before_zero_grad(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Before gradients are cleared."""

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Change a checkpoint before it is written."""

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Look at a checkpoint before anything is restored from it."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of this callback."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what `state_dict` returned."""
