"""BaseFinetuning and BackboneFinetuning: parts of a model frozen at first, trained later."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from litify.callbacks.base import Callback
from litify.errors import MisconfigurationException
from litify.rank_zero import say, warn

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.trainer import Trainer

Modules = nn.Module | Iterable[Any]


class BaseFinetuning(Callback):
    """Override `freeze_before_training` to freeze, and `finetune_function` to unfreeze at some epoch.

    The optimizer gets frozen parameters when they are unfrozen: make it of those that require gradients,
    `filter(lambda p: p.requires_grad, self.parameters())`.
    """

    def __init__(self) -> None:
        self._internal_optimizer_metadata: dict[int, list[dict[str, Any]]] = {}  # groups, parameters by name
        self._restarting = False

    def freeze_before_training(self, pl_module: LightningModule) -> None:
        """Freeze here, with `self.freeze(...)`."""
        raise NotImplementedError

    def finetune_function(self, pl_module: LightningModule, epoch: int, optimizer: Optimizer) -> None:
        """Unfreeze here, with `self.unfreeze_and_add_param_group(...)`. Called at the start of each epoch, per optimizer."""
        raise NotImplementedError

    # -- the tools --------------------------------------------------------------------------------------------------

    @staticmethod
    def flatten_modules(modules: Modules) -> list[nn.Module]:
        """All modules within that have no children, or parameters of their own."""
        if isinstance(modules, nn.ModuleDict):
            modules = modules.values()
        if isinstance(modules, Iterable):
            return [leaf for module in modules for leaf in BaseFinetuning.flatten_modules(module)]
        return [module for module in modules.modules() if not list(module.children()) or module._parameters]

    @staticmethod
    def filter_params(
        modules: Modules, train_bn: bool = True, requires_grad: bool = True
    ) -> Iterator[nn.Parameter]:
        """Parameters that require gradients (or do not), those of batch norms left out unless `train_bn`."""
        for module in BaseFinetuning.flatten_modules(modules):
            if train_bn or not isinstance(module, _BatchNorm):
                for parameter in module.parameters(recurse=False):
                    if parameter.requires_grad == requires_grad:
                        yield parameter

    @staticmethod
    def make_trainable(modules: Modules) -> None:
        """Parameters require gradients, batch norms keep statistics."""
        for module in BaseFinetuning.flatten_modules(modules):
            _set_trained(module, True)

    @staticmethod
    def freeze_module(module: nn.Module) -> None:
        """The module's own parameters require no gradients; a batch norm keeps no statistics."""
        _set_trained(module, False)

    @staticmethod
    def freeze(modules: Modules, train_bn: bool = True) -> None:
        """Freeze everything within, batch norms only with `train_bn=False`."""
        for module in BaseFinetuning.flatten_modules(modules):
            _set_trained(module, isinstance(module, _BatchNorm) and train_bn)

    @staticmethod
    def filter_on_optimizer(optimizer: Optimizer, params: Iterable[Tensor]) -> list[Tensor]:
        """Parameters that the optimizer does not have yet; a warning where it has some."""
        known = {id(p) for group in optimizer.param_groups for p in group["params"]}
        found = list(params)
        new = [parameter for parameter in found if id(parameter) not in known]
        if len(new) < len(found):
            warn(
                f"{len(found) - len(new)} of the parameters to unfreeze are in {type(optimizer).__name__} already and are not added "
                "again; make it of filter(lambda p: p.requires_grad, self.parameters())."
            )
        return new

    @staticmethod
    def unfreeze_and_add_param_group(
        modules: Modules,
        optimizer: Optimizer,
        lr: float | None = None,
        initial_denom_lr: float = 10.0,
        train_bn: bool = True,
    ) -> None:
        """Unfreeze modules, and give their parameters to the optimizer as a group of their own.

        Args:
            lr: the group's learning rate; None: that of the first group, divided by `initial_denom_lr`.
        """
        BaseFinetuning.make_trainable(modules)
        rate = optimizer.param_groups[0]["lr"] / initial_denom_lr if lr is None else float(lr)
        params = BaseFinetuning.filter_params(modules, train_bn=train_bn)
        new = BaseFinetuning.filter_on_optimizer(optimizer, params)
        if new:
            optimizer.add_param_group({"params": new, "lr": rate})

    # -- hooks ------------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.freeze_before_training(pl_module)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._restarting:
            return
        self._restarting = False
        named = dict(pl_module.named_parameters())
        for index, optimizer in enumerate(trainer.optimizers):
            kept = self._internal_optimizer_metadata.get(index)
            if kept is not None:
                optimizer.param_groups = [
                    {**group, "params": [named[name] for name in group["params"]]} for group in kept
                ]
        self._thaw(trainer, pl_module)

    def _thaw(self, trainer: Trainer, module: LightningModule) -> None:
        """What the optimizers train was frozen again by `setup`."""
        groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        trained = {id(parameter) for group in groups for parameter in group["params"]}
        for child in module.modules():
            for parameter in child.parameters(recurse=False):
                if id(parameter) in trained:
                    parameter.requires_grad = True
                    if isinstance(child, _BatchNorm):
                        child.track_running_stats = True

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        names = {id(parameter): name for name, parameter in pl_module.named_parameters()}
        for index, optimizer in enumerate(trainer.optimizers):
            self.finetune_function(pl_module, trainer.current_epoch, optimizer)
            self._internal_optimizer_metadata[index] = [
                {**group, "params": [names[id(p)] for p in group["params"]]}
                for group in optimizer.param_groups
            ]

    def state_dict(self) -> dict[str, Any]:
        return {"internal_optimizer_metadata": self._internal_optimizer_metadata}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restarting = True
        self._internal_optimizer_metadata = state_dict["internal_optimizer_metadata"]


def _set_trained(module: nn.Module, trained: bool) -> None:
    if isinstance(module, _BatchNorm):
        module.track_running_stats = trained
    for parameter in module.parameters(recurse=False):
        parameter.requires_grad = trained


def multiplicative(epoch: int) -> float:
    """The default factor by which the backbone's rate grows each epoch."""
    return 2.0


class BackboneFinetuning(BaseFinetuning):
    """Trains `module.backbone` from some epoch on, at a rate of its own that grows up to that of the rest.

    Args:
        unfreeze_backbone_at_epoch: that epoch.
        lambda_func: epoch -> factor of the backbone's rate.
        backbone_initial_ratio_lr: its first rate, as a share of that of the first group.
        backbone_initial_lr: its first rate, in place of that share.
        should_align: its rate never exceeds that of the first group.
        initial_denom_lr: as in `unfreeze_and_add_param_group`; without effect here, as the first rate is given.
        train_bn: also train batch norms.
        verbose: say the rates.
        rounding: digits to say them with.

    Raises:
        MisconfigurationException: the module has no `backbone`.
    """

    def __init__(
        self,
        unfreeze_backbone_at_epoch: int = 10,
        lambda_func: Callable[[int], float] = multiplicative,
        backbone_initial_ratio_lr: float = 10e-2,
        backbone_initial_lr: float | None = None,
        should_align: bool = True,
        initial_denom_lr: float = 10.0,
        train_bn: bool = True,
        verbose: bool = False,
        rounding: int = 12,
    ) -> None:
        super().__init__()
        self.unfreeze_backbone_at_epoch, self.lambda_func = unfreeze_backbone_at_epoch, lambda_func
        self.backbone_initial_ratio_lr, self.backbone_initial_lr = (
            backbone_initial_ratio_lr,
            backbone_initial_lr,
        )
        self.should_align, self.initial_denom_lr, self.train_bn = should_align, initial_denom_lr, train_bn
        self.verbose, self.rounding = verbose, rounding
        self.previous_backbone_lr: float | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not isinstance(getattr(pl_module, "backbone", None), nn.Module):
            raise MisconfigurationException(
                f"BackboneFinetuning trains {type(pl_module).__name__}.backbone, and there is none; set self.backbone in __init__."
            )
        super().on_fit_start(trainer, pl_module)

    def freeze_before_training(self, pl_module: LightningModule) -> None:
        self.freeze(pl_module.backbone)

    def finetune_function(self, pl_module: LightningModule, epoch: int, optimizer: Optimizer) -> None:
        if epoch < self.unfreeze_backbone_at_epoch:
            return
        current = optimizer.param_groups[0]["lr"]
        if epoch == self.unfreeze_backbone_at_epoch:
            given = self.backbone_initial_lr
            rate = current * self.backbone_initial_ratio_lr if given is None else given
            backbone: Any = pl_module.backbone
            self.unfreeze_and_add_param_group(backbone, optimizer, rate, self.initial_denom_lr, self.train_bn)
        else:
            assert self.previous_backbone_lr is not None
            rate = self.lambda_func(epoch + 1) * self.previous_backbone_lr
            rate = min(rate, current) if self.should_align else rate
            optimizer.param_groups[-1]["lr"] = rate
        self.previous_backbone_lr = rate
        if self.verbose:
            say(
                f"litify: learning rate {round(current, self.rounding)}, of the backbone {round(rate, self.rounding)}"
            )

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "previous_backbone_lr": self.previous_backbone_lr}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.previous_backbone_lr = state_dict["previous_backbone_lr"]
