"""The hooks of a LightningModule, each a documented no-op or the default behaviour. `fit.py` says in which order they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.optim import Optimizer


class ModuleHooks:
    """What may be overridden in a LightningModule, besides `forward` and the hooks about data."""

    # -- steps ---------------------------------------------------------------------------------------------------------

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        """The loss of a batch: a tensor with one element, a dictionary with "loss", or None to skip the batch."""

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        """What validation computes for a batch; `self.log` the metrics. Takes dataloader_idx where there are several loaders."""

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        """As `validation_step`, for test data."""

    def predict_step(self, batch: Any, *where: Any, **more: Any) -> Any:
        """The prediction for a batch, by default `self(batch)`. Takes batch_idx and dataloader_idx as the other steps do."""
        return self(batch)  # type: ignore[operator]

    # -- set-up --------------------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> Any:
        """One optimizer, several, ([optimizers], [schedulers]), {"optimizer": ..., "lr_scheduler": ...}, a list of those, or None.

        A scheduler may be a dictionary: scheduler, interval ("epoch" or "step"), frequency, monitor, strict, name.
        """
        from litify.errors import MisconfigurationException

        raise MisconfigurationException(
            f"{type(self).__name__} has no configure_optimizers, so nothing can be trained: define it and return an optimizer."
        )

    def configure_callbacks(self) -> Any:
        """Callbacks that this module brings along; one of the same class replaces the Trainer's."""
        return []

    def configure_model(self) -> None:
        """Build layers here, in place of __init__, to have them made in the right precision. May be called repeatedly."""

    # -- fit -----------------------------------------------------------------------------------------------------------

    def on_fit_start(self) -> None:
        """The very beginning of fit: model on its device, before the sanity check."""

    def on_fit_end(self) -> None:
        """The very end of fit."""

    def on_train_start(self) -> None:
        """Training begins, after the sanity check."""

    def on_train_end(self) -> None:
        """Training is over."""

    def on_train_epoch_start(self) -> None:
        """An epoch begins."""

    def on_train_epoch_end(self) -> None:
        """An epoch is over, its validation included."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        """Before a batch; return -1 to skip the rest of the epoch."""

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After a batch and its optimizer step. `outputs` is what training_step returned, as a dictionary, detached."""

    # -- the optimizer step ------------------------------------------------------------------------------------------------

    def on_before_zero_grad(self, optimizer: Optimizer) -> None:
        """After training_step, before gradients are cleared."""

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """Clears the gradients."""
        optimizer.zero_grad()

    def on_before_backward(self, loss: Tensor) -> None:
        """Before backward; the loss is divided by the accumulated batches and scaled for 16-mixed."""

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Computes the gradients."""
        loss.backward(*args, **kwargs)  # type: ignore[no-untyped-call]

    def on_after_backward(self) -> None:
        """After backward, gradients not yet unscaled."""

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Gradients are complete and unscaled, not yet clipped: the place to look at them."""

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips gradients as the Trainer's arguments say; override for another way, and call `self.clip_gradients`."""
        self.clip_gradients(  # type: ignore[attr-defined]
            optimizer, gradient_clip_val=gradient_clip_val, gradient_clip_algorithm=gradient_clip_algorithm
        )

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Any,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Steps the optimizer; the closure runs training_step, zero_grad and backward and must be called."""
        optimizer.step(closure=optimizer_closure)

    def lr_scheduler_step(self, scheduler: Any, metric: Any | None) -> None:
        """Steps a scheduler, with the monitored metric where it has one."""
        if metric is None:
            scheduler.step()
        else:
            scheduler.step(metric)

    # -- evaluation --------------------------------------------------------------------------------------------------------

    def on_validation_start(self) -> None:
        """Validation begins."""

    def on_validation_end(self) -> None:
        """Validation is over, metrics sent to the loggers."""

    def on_validation_epoch_start(self) -> None:
        """A pass over the validation data begins."""

    def on_validation_epoch_end(self) -> None:
        """The pass is over: metrics logged in validation_step are in `self.trainer.callback_metrics`."""

    def on_validation_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Before a validation batch."""

    def on_validation_batch_end(
        self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """After a validation batch."""

    def on_validation_model_zero_grad(self) -> None:
        """Clears the gradients before validation, to have their memory."""
        self.zero_grad()  # type: ignore[attr-defined]

    def on_validation_model_eval(self) -> None:
        """Puts the module in eval mode before validation."""
        self.eval()  # type: ignore[attr-defined]

    def on_validation_model_train(self) -> None:
        """Override to say in which mode modules are after validation; by default each as it was before."""
        self.train()  # type: ignore[attr-defined]

    def on_test_start(self) -> None:
        """Test begins."""

    def on_test_end(self) -> None:
        """Test is over."""

    def on_test_epoch_start(self) -> None:
        """A pass over the test data begins."""

    def on_test_epoch_end(self) -> None:
        """The pass is over."""

    def on_test_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Before a test batch."""

    def on_test_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """After a test batch."""

    def on_test_model_eval(self) -> None:
        """Puts the module in eval mode before test."""
        self.eval()  # type: ignore[attr-defined]

    def on_test_model_train(self) -> None:
        """Override to say in which mode modules are after test; by default each as it was before."""
        self.train()  # type: ignore[attr-defined]

    def on_predict_start(self) -> None:
        """Prediction begins."""

    def on_predict_end(self) -> None:
        """Prediction is over."""

    def on_predict_epoch_start(self) -> None:
        """A pass over the data to predict begins."""

    def on_predict_epoch_end(self) -> None:
        """The pass is over."""

    def on_predict_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Before a batch to predict."""

    def on_predict_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """After a batch to predict."""

    def on_predict_model_eval(self) -> None:
        """Puts the module in eval mode before prediction."""
        self.eval()  # type: ignore[attr-defined]

    # -- checkpoints ---------------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Change a checkpoint before it is written."""

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Look at a checkpoint before anything is restored from it."""
