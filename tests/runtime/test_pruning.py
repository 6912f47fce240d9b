"""ModelPruning: how much is pruned, that it stays so, and what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.models import Classifier, Validated, loader, quiet, weights
from torch.nn.utils import prune

from litify import MisconfigurationException
from litify.callbacks import ModelPruning


def zeros(module: Any) -> int:
    return sum(int((value == 0).sum()) for value in weights(module).values())


class EveryOther(prune.BasePruningMethod):
    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        mask = default_mask.clone()
        mask.view(-1)[::2] = 0
        return mask


@pytest.mark.parametrize("everything", [True, False])
@pytest.mark.parametrize("lottery", [True, False])
@pytest.mark.parametrize("method", ["l1_unstructured", "random_unstructured"])
def test_half_is_pruned_each_epoch_and_stays_so(
    tmp_path: Path, everything: bool, lottery: bool, method: str
) -> None:
    module = Classifier()
    layers = [(module.net[0], "weight"), (module.net[3], "weight")]
    callback = ModelPruning(
        method, layers, use_global_unstructured=everything, use_lottery_ticket_hypothesis=lottery
    )
    quiet(tmp_path, callbacks=[callback]).fit(module, loader())
    assert zeros(module) == (8 * 16 + 16 * 3) * 3 // 4
    assert not hasattr(module.net[0], "weight_orig")  # permanent


@pytest.mark.parametrize(("method", "norm"), [("ln_structured", 1), ("random_structured", None)])
def test_whole_rows_are_pruned(tmp_path: Path, method: str, norm: int | None) -> None:
    module = Classifier()
    callback = ModelPruning(
        method,
        [(module.net[0], "weight")],
        use_global_unstructured=False,
        pruning_dim=0,
        pruning_norm=norm,
        make_pruning_permanent=False,
    )
    quiet(tmp_path, callbacks=[callback], max_epochs=1).fit(module, loader())
    rows = module.net[0].weight_mask.sum(1)  # type: ignore[union-attr,operator]
    assert sorted(rows.tolist()) == [0.0] * 8 + [8.0] * 8


def test_weights_that_are_left_go_back_to_the_start(tmp_path: Path) -> None:
    module = Classifier()
    before = module.net[0].weight.detach().clone()
    callback = ModelPruning(
        EveryOther,
        [(module.net[0], "weight")],
        use_lottery_ticket_hypothesis=lambda epoch: epoch == 1,
        apply_pruning=lambda epoch: epoch == 1,
    )
    quiet(tmp_path, callbacks=[callback]).fit(module, loader())
    kept = module.net[0].weight.detach()
    assert torch.equal(kept.view(-1)[1::2], before.view(-1)[1::2])  # type: ignore[operator]
    assert not kept.view(-1)[::2].any()  # type: ignore[operator]


def test_checkpoints_hold_pruned_weights_and_training_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Saves(Validated):
        def on_train_epoch_end(self) -> None:
            self.trainer.save_checkpoint(tmp_path / f"{self.current_epoch}.ckpt")

    callback = ModelPruning("l1_unstructured", verbose=2, prune_on_train_epoch_end=False)
    module = Saves()
    quiet(tmp_path, callbacks=[callback], max_epochs=2).fit(module, loader(), loader(4))
    found = Validated.load_from_checkpoint(tmp_path / "0.ckpt")
    total = sum(value.numel() for value in weights(found).values())
    assert zeros(found) == round(total / 2) and zeros(module) > zeros(found)
    assert "L1Unstructured pruned 0.00% -> 50.26%" in capsys.readouterr().err


def test_pruning_refuses_what_makes_no_sense(tmp_path: Path) -> None:
    for arguments, text in (
        ({"pruning_fn": "chop"}, "pass one of"),
        ({"pruning_fn": "l1_unstructured", "parameter_names": ["gain"]}, "'weight', 'bias'"),
        ({"pruning_fn": "l1_unstructured", "verbose": 3}, "pass 0, 1 or 2"),
        ({"pruning_fn": "l1_unstructured", "amount": "half"}, "pass a share"),
        ({"pruning_fn": "random_structured"}, "needs pruning_dim="),
        ({"pruning_fn": "ln_structured", "pruning_dim": 0}, "needs pruning_norm="),
        ({"pruning_fn": "random_structured", "pruning_dim": 0}, "use_global_unstructured=False"),
        ({"pruning_fn": EveryOther, "use_global_unstructured": False}, "use_global_unstructured=True"),
    ):
        with pytest.raises(MisconfigurationException, match=text):
            ModelPruning(**arguments)  # type: ignore[arg-type]
    other = Classifier()
    for pairs, text in (([(other.net[0], "weight")], "has no Linear.weight"), (["weight"], "list of")):
        with pytest.raises(MisconfigurationException, match=text):
            quiet(tmp_path, callbacks=[ModelPruning("l1_unstructured", pairs)]).fit(Classifier(), loader())  # type: ignore[arg-type]
