"""Which classes count as Lightning's, by whatever name and through whatever bases."""

from __future__ import annotations

import pytest
from linting import codes_of, in_module


@pytest.mark.parametrize(
    ("imports", "base"),
    [
        ("from litify import LightningModule", "LightningModule"),
        ("import litify", "litify.LightningModule"),
        ("from lightning import LightningModule as Base", "Base"),
        ("import lightning as L", "L.LightningModule"),
        ("import lightning.pytorch as pl", "pl.LightningModule"),
        ("from lightning.pytorch import LightningModule", "LightningModule"),
        ("from lightning.pytorch.core import LightningModule", "LightningModule"),
        ("import pytorch_lightning as pl", "pl.LightningModule"),
        ("from pytorch_lightning.core.lightning import LightningModule", "LightningModule"),
        ("from litify import *", "LightningModule"),
        ("import abc\nfrom litify import LightningModule", "LightningModule, abc.ABC"),
    ],
)
def test_every_way_to_name_the_base_class(imports, base):
    step = "def training_step(self, batch, batch_idx):\n    x = batch.cuda()\n    return self.loss(x)"
    found = in_module(step, imports, base)
    assert [code for code in found if code != "LIT906"] == [
        "LIT101"
    ]  # the module that is gone is another rule's


def test_a_class_inheriting_through_a_local_subclass_counts():
    text = """
    from litify import LightningModule

    class Base(LightningModule):
        pass

    class Middle(Base):
        pass

    class Lit(Middle):
        def training_step(self, batch, batch_idx):
            return self.loss(batch.cuda())
    """
    assert codes_of(text) == ["LIT101"]


def test_manual_optimization_is_inherited():
    text = """
    from litify import LightningModule

    class Base(LightningModule):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False

    class Lit(Base):
        def training_step(self, batch, batch_idx):
            self.optimizers().step()
    """
    assert codes_of(text) == []


def test_a_circle_of_base_classes_ends():
    assert codes_of("import litify\nclass A(B):\n    pass\nclass B(A):\n    pass\n") == []


@pytest.mark.parametrize("base", ["object", "nn.Module", "Trainer", "LightningModule"])
def test_plain_classes_are_left_alone(base):
    """Only Lightning's own LightningModule counts, not any class of that name."""
    text = f"""
    import torch
    from torch import nn
    from elsewhere import LightningModule, Trainer

    class Net({base}):
        def training_step(self, batch, batch_idx):
            print(batch.cuda().item())
    """
    assert codes_of(text) == []
