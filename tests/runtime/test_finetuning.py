"""Finetuning: what is frozen, when it thaws, and that a resumed training knows."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.models import Classifier, assert_same_weights, loader, loss_of, network, quiet
from torch import nn

from litify import Callback, MisconfigurationException
from litify.callbacks import BackboneFinetuning, BaseFinetuning


class Backed(Classifier):
    """Has a backbone with a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return loss_of(self.net, (self.backbone(batch[0]), batch[1]))

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam([p for p in self.parameters() if p.requires_grad], lr=0.1)


def test_the_backbone_stays_until_its_epoch(tmp_path: Path) -> None:
    module = Backed()
    before = module.backbone[0].weight.detach().clone()  # type: ignore[operator]
    changed: list[bool] = []
    groups: list[list[float]] = []

    class Watch(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            changed.append(not torch.equal(pl_module.backbone[0].weight, before))
            groups.append([group["lr"] for group in trainer.optimizers[0].param_groups])

    finetuning = BackboneFinetuning(1, lambda epoch: 4.0, backbone_initial_ratio_lr=0.1)
    quiet(tmp_path, callbacks=[finetuning, Watch()], max_epochs=4).fit(module, loader())
    assert changed == [False, True, True, True]
    assert groups == [[0.1], [0.1, 0.1 * 0.1], [0.1, pytest.approx(0.04)], [0.1, 0.1]]


def test_freeze_leaves_batch_norms_unless_told() -> None:
    module = Backed()
    BaseFinetuning.freeze(module.backbone)
    assert [p.requires_grad for p in module.backbone.parameters()] == [False, False, True, True]
    BaseFinetuning.freeze(module.backbone, train_bn=False)
    assert not module.backbone[1].track_running_stats  # type: ignore[union-attr]
    assert len(list(BaseFinetuning.filter_params(module, train_bn=False, requires_grad=False))) == 2
    assert len(list(BaseFinetuning.filter_params(module, requires_grad=False))) == 4
    BaseFinetuning.make_trainable([module.backbone])
    assert all(p.requires_grad for p in module.backbone.parameters())


def test_parameters_are_not_added_twice() -> None:
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    with pytest.warns(UserWarning, match="are in SGD already"):
        BaseFinetuning.unfreeze_and_add_param_group(net, optimizer)
    assert len(optimizer.param_groups) == 1
    BaseFinetuning.unfreeze_and_add_param_group(network(), optimizer, initial_denom_lr=4)
    assert optimizer.param_groups[1]["lr"] == 0.025


def test_layers_with_parameters_and_children_are_flattened_too() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))
            self.inner = nn.Linear(2, 2)

    both = Both()
    assert BaseFinetuning.flatten_modules(nn.ModuleDict({"a": both})) == [both, both.inner]
    assert len(list(BaseFinetuning.filter_params(both))) == 3


@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_finetuning_ends_as_one_that_never_stopped(tmp_path: Path, stop: int) -> None:
    class Stop(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            if trainer.current_epoch + 1 == stop:
                trainer.save_checkpoint(tmp_path / "stopped.ckpt")
                raise KeyError("stopped")

    whole = Backed()
    other = copy.deepcopy(whole)
    torch.manual_seed(1)
    quiet(tmp_path, callbacks=[BackboneFinetuning(2)], max_epochs=4).fit(whole, loader())
    torch.manual_seed(1)
    with pytest.raises(KeyError):
        quiet(tmp_path, callbacks=[BackboneFinetuning(2), Stop()], max_epochs=4).fit(other, loader())
    resumed = Backed()
    trainer = quiet(tmp_path, callbacks=[BackboneFinetuning(2)], max_epochs=4)
    trainer.fit(resumed, loader(), ckpt_path=tmp_path / "stopped.ckpt")
    assert_same_weights(resumed, whole)


def test_a_module_needs_a_backbone(tmp_path: Path) -> None:
    class Later(BackboneFinetuning):
        def freeze_before_training(self, pl_module: Any) -> None:
            pass

    with pytest.raises(MisconfigurationException, match="trains Classifier"):
        quiet(tmp_path, callbacks=[Later()]).fit(Classifier(), loader())
