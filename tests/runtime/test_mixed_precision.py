"""16-mixed on a CPU: gradients are multiplied by a loss scale, which nobody but the scaler may notice."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tests.runtime.models import Classifier, assert_same_weights, loader, loss_of, quiet
from torch import nn

from litify.precision.mixed import MixedPrecision

CLIP = 0.05


class Fused(Classifier):
    """Its optimizer knows of loss scales itself, which torch marks by `_step_supports_amp_scaling`."""

    fused = True

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.01, fused=self.fused)


class ByHand(Fused):
    """Steps and clips by itself."""

    def __init__(self) -> None:
        super().__init__(dropout=0.0)
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(loss_of(self.net, batch))
        self.clip_gradients(optimizer, CLIP, "norm")
        optimizer.step()


def train_by_hand(net: nn.Module, fused: bool) -> None:
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01, fused=fused)
    scaler = torch.amp.GradScaler("cpu")
    for batch in loader():
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.float16):
            loss = loss_of(net, batch)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(net.parameters(), CLIP)
        scaler.step(optimizer)
        scaler.update()


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("by_hand", [True, False])
def test_gradients_are_clipped_without_their_scale(by_hand: bool, fused: bool) -> None:
    module = ByHand() if by_hand else Fused(dropout=0.0)
    module.fused = fused
    expected = copy.deepcopy(module.net)
    train_by_hand(expected, fused)
    clipping = {} if by_hand else {"gradient_clip_val": CLIP}
    quiet(max_epochs=1, plugins=[MixedPrecision("16-mixed", "cpu")], **clipping).fit(module, loader())
    assert_same_weights(module.net, expected)
