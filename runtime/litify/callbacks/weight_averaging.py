"""WeightAveraging and EMAWeightAveraging: a running average of the weights, which validation and the result use."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

from litify.callbacks.base import Callback
from litify.hooks import is_overridden
from litify.rank_zero import warn

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.trainer import Trainer

PREFIX = "module."  # of the weights in an AveragedModel's state


class WeightAveraging(Callback):
    """Keeps an average of the weights by torch's AveragedModel, equally weighted unless `avg_fn` says otherwise.

    Validation runs with the averages, and training ends with them. Checkpoints hold them in `state_dict`, and the weights that
    are trained in `current_model_state`.

    Args:
        device: where the averages are kept; default: with the model.
        use_buffers: average buffers, such as batch norm statistics, too.
        kwargs: further arguments of AveragedModel, such as avg_fn or multi_avg_fn.
    """

    def __init__(
        self, device: torch.device | str | int | None = None, use_buffers: bool = True, **kwargs: Any
    ) -> None:
        self._device = torch.device(device) if isinstance(device, str) else device
        self._use_buffers, self._kwargs = use_buffers, kwargs
        self._average_model: AveragedModel | None = None
        self._latest_update_step = 0
        self._latest_update_epoch = -1
        self._swapped = False  # validation is running, with the averages in the module

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Whether to take the weights of now into the average; override for another plan.

        Args:
            step_idx: the latest optimizer step, from 0; None when asked at the end of an epoch.
            epoch_idx: the latest epoch, from 0; None when asked after a step.
        """
        return step_idx is not None

    @property
    def _average(self) -> AveragedModel:
        assert self._average_model is not None, "setup makes it"
        return self._average_model

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        if is_overridden("configure_model", pl_module):
            pl_module.configure_model()  # the copy needs the layers
        device: Any = pl_module.device if self._device is None else self._device
        self._average_model = AveragedModel(
            pl_module, device=device, use_buffers=self._use_buffers, **self._kwargs
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if step > self._latest_update_step and self.should_update(step_idx=step - 1):
            self._average.update_parameters(pl_module)
            self._latest_update_step = step

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch
        if epoch > self._latest_update_epoch and self.should_update(epoch_idx=epoch):
            self._average.update_parameters(pl_module)
            self._latest_update_epoch = epoch

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for average, current in self._pairs(pl_module):
            current.data.copy_(average.data)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._swap(pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._swap(pl_module)

    def _swap(self, module: LightningModule) -> None:
        if self._average_model is not None:
            for average, current in self._pairs(module):
                kept = average.data.clone()
                average.data.copy_(current.data)
                current.data.copy_(kept)
            self._swapped = not self._swapped

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if self._swapped:  # a checkpoint may be written now
            self._swap(pl_module)

    def _pairs(self, module: LightningModule) -> Iterator[tuple[Tensor, Tensor]]:
        def tensors(owner: nn.Module) -> Iterator[Tensor]:
            return itertools.chain(owner.parameters(), owner.buffers())

        return zip(tensors(self._average.module), tensors(module), strict=True)

    # -- checkpoints ------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {"latest_update_step": self._latest_update_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._latest_update_step = state_dict["latest_update_step"]

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self._average_model is None:  # not trained here: the weights are what they are
            return
        state = self._average_model.state_dict()
        checkpoint["current_model_state"] = checkpoint["state_dict"]
        checkpoint["state_dict"] = {
            name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)
        }
        checkpoint["averaging_state"] = {
            name: value for name, value in state.items() if not name.startswith(PREFIX)
        }

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self._average_model is None:
            return
        if "current_model_state" not in checkpoint:
            warn("The checkpoint was written without WeightAveraging: the average starts from its weights.")
            self._average.module.load_state_dict(deepcopy(checkpoint["state_dict"]), strict=False)
            return
        state = {PREFIX + name: value for name, value in checkpoint["state_dict"].items()}
        self._average.load_state_dict({**state, **checkpoint["averaging_state"]})
        pl_module.load_state_dict(checkpoint["current_model_state"])


class EMAWeightAveraging(WeightAveraging):
    """An exponential moving average of the weights.

    Args:
        device, use_buffers, kwargs: as for WeightAveraging.
        decay: the share of the old average that stays at each update.
        update_every_n_steps: optimizer steps between updates; 0: none by steps.
        update_starting_at_step: the first step that counts.
        update_starting_at_epoch: also update at the end of epochs, from this one on.
    """

    def __init__(
        self,
        device: torch.device | str | int | None = None,
        use_buffers: bool = True,
        decay: float = 0.999,
        update_every_n_steps: int = 1,
        update_starting_at_step: int | None = None,
        update_starting_at_epoch: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(device, use_buffers, avg_fn=get_ema_avg_fn(decay=decay), **kwargs)  # type: ignore[no-untyped-call]
        self.update_every_n_steps = update_every_n_steps
        self.update_starting_at_step = update_starting_at_step
        self.update_starting_at_epoch = update_starting_at_epoch

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        every, first = self.update_every_n_steps, self.update_starting_at_step
        if step_idx is not None and every > 0 and step_idx % every == 0 and step_idx >= (first or 0):
            return True
        start = self.update_starting_at_epoch
        return epoch_idx is not None and start is not None and epoch_idx >= start
