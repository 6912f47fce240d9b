"""Fixes that write something else: calls, constructors, loaders, arguments of the Trainer."""

from __future__ import annotations

import textwrap

import pytest
from fixing import HEAD, check_fixed, fixed


def test_manual_backward():
    check_fixed(
        """
        def training_step(self, batch, batch_idx):
            loss = self.loss(batch)
            (loss * 2).backward(retain_graph=True)
            self.manual_backward(loss)
        """,
        """
        def training_step(self, batch, batch_idx):
            loss = self.loss(batch)
            self.manual_backward(loss * 2, retain_graph=True)
            self.manual_backward(loss)
        """,
    )


def test_print():
    check_fixed(
        """
        def training_step(self, batch, batch_idx):
            print("a", batch, sep=", ")
            print("now", flush=True)
            return self.loss(batch)
        """,
        """
        def training_step(self, batch, batch_idx):
            self.print("a", batch, sep=", ")
            print("now", flush=True)
            return self.loss(batch)
        """,
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("self.x = 1", "super().__init__()\n        self.x = 1"),
        ('"""Doc."""\n\n        self.x = 1', '"""Doc."""\n\n        super().__init__()\n        self.x = 1'),
        ('"""Doc."""', '"""Doc."""\n        super().__init__()'),
    ],
)
def test_super_init(before, after):
    text = HEAD + "class Lit(LightningModule):\n    def __init__(self):\n        {}\n"
    assert fixed(text.format(before)) == text.format(after)


def test_super_init_that_needs_arguments_is_left():
    text = """
    class Base(LightningModule):
        def __init__(self, width):
            super().__init__()


    class Lit(Base):
        def __init__(self):
            self.x = 1
    """
    text = HEAD + textwrap.dedent(text)
    assert fixed(text) == text


def test_losses():
    check_fixed(
        """
        def training_step(self, batch, batch_idx):
            loss = self.loss(batch)
            self.total += loss
            self.log("loss", loss.item(), prog_bar=True)
            return loss
        """,
        """
        def training_step(self, batch, batch_idx):
            loss = self.loss(batch)
            self.total += loss.detach()
            self.log("loss", loss, prog_bar=True)
            return loss
        """,
    )


def test_a_step_without_loss():
    check_fixed(
        """
        def training_step(self, batch, batch_idx):
            loss = self.loss(batch)
            self.log("loss", loss)

        # what follows
        x = 3
        """,
        """
        def training_step(self, batch, batch_idx):
            loss = self.loss(batch)
            self.log("loss", loss)
            return loss

        # what follows
        x = 3
        """,
    )


def test_shapes_of_a_module():
    check_fixed(
        """
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(2, 2)]
            self.heads = {"a": nn.Linear(2, 1)}

        def validaton_step(self, batch, batch_idx):
            self.log("x", 1)

        def configure_optimizers(self):
            optimizer = optim.SGD(self.parameters(), lr=0.1)
            scheduler = optim.lr_scheduler.StepLR(optimizer, 3)
            return optimizer
        """,
        """
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(2, 2)])
            self.heads = nn.ModuleDict({"a": nn.Linear(2, 1)})

        def validation_step(self, batch, batch_idx):
            self.log("x", 1)

        def configure_optimizers(self):
            optimizer = optim.SGD(self.parameters(), lr=0.1)
            scheduler = optim.lr_scheduler.StepLR(optimizer, 3)
            return [optimizer], [scheduler]
        """,
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('torch.load("x.pt")', 'torch.load("x.pt", weights_only=True)'),
        ('torch.load(("x.pt"),)', 'torch.load(("x.pt"), weights_only=True)'),
        ('torch.load(\n            "x.pt"\n        )', 'torch.load(\n            "x.pt"\n        )'),
    ],
)
def test_load(before, after):
    text = "def setup(self, stage):\n    self.x = {}"
    check_fixed(text.format(before), text.format(after))


def test_loaders():
    check_fixed(
        "def val_dataloader(self):\n    return Loader(self.x, shuffle=True)",
        "def val_dataloader(self):\n    return Loader(self.x, shuffle=False)",
        base="LightningDataModule",
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("gpus=2, max_epochs=3", 'accelerator="gpu", devices=2, max_epochs=3'),
        ("gpus=0", 'accelerator="cpu"'),
        ("gpus=args.gpus", "gpus=args.gpus"),
        ("gpus=1, accelerator='gpu'", "gpus=1, accelerator='gpu'"),
        ("row_log_interval=5", "log_every_n_steps=5"),
        ("terminate_on_nan=True", "detect_anomaly=True"),
    ],
)
def test_trainer_arguments(before, after):
    text = "from lightning import Trainer\n\ntrainer = Trainer({})\n"
    assert fixed(text.format(before)) == text.format(after)
