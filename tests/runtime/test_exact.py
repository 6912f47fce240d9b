"""A hand-written loop and the Trainer, same seed, end with the same weights, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.models import Classifier, assert_same_weights, loader, loss_of, network, quiet
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, OneCycleLR, ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader, IterableDataset

from litify import LightningModule, Trainer

EPOCHS = 3


def by_hand(
    make_optimizer: Callable[[Any], torch.optim.Optimizer],
    accumulate: int = 1,
    clip: tuple[str, float] | None = None,
    validate: bool = False,
    make_scheduler: Callable[[torch.optim.Optimizer], Any] | None = None,
    per_step: bool = False,
    precision: torch.dtype | None = None,
) -> nn.Module:
    """The loop that a researcher would write."""
    torch.manual_seed(0)
    net = network()
    optimizer = make_optimizer(net.parameters())
    scheduler = make_scheduler(optimizer) if make_scheduler else None
    train, val = loader(shuffle=True), loader(12)
    for _ in range(EPOCHS):
        net.train()
        for i, batch in enumerate(train):
            if i % accumulate == 0:
                optimizer.zero_grad()
            window = min(accumulate, len(train) - (i - i % accumulate))
            with torch.autocast("cpu", dtype=precision or torch.bfloat16, enabled=precision is not None):
                loss = loss_of(net, batch)
            (loss / window).backward()
            if (i + 1) % accumulate == 0 or i + 1 == len(train):
                if clip and clip[0] == "norm":
                    nn.utils.clip_grad_norm_(net.parameters(), clip[1])
                elif clip:
                    nn.utils.clip_grad_value_(net.parameters(), clip[1])
                optimizer.step()
                if scheduler is not None and per_step:
                    scheduler.step()
        total = 0.0
        if validate:
            net.eval()
            with torch.no_grad():
                total = sum(loss_of(net, batch).item() for batch in val) / len(val)
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(total)
        elif scheduler is not None and not per_step:
            scheduler.step()
    return net


class Configured(Classifier):
    def __init__(
        self, make_optimizer: Any, make_scheduler: Any = None, config: dict[str, Any] | None = None
    ) -> None:
        LightningModule.__init__(self)
        self.net = network()
        self.make_optimizer, self.make_scheduler, self.config = make_optimizer, make_scheduler, config or {}

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(self.net.parameters())
        if self.make_scheduler is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.make_scheduler(optimizer), **self.config},
        }


class ConfiguredAndValidated(Configured):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", loss_of(self.net, batch))


def by_trainer(
    make_module: Callable[[], Any], validate: bool = False, trainer: Trainer | None = None, **options: Any
) -> nn.Module:
    torch.manual_seed(0)
    module = make_module()
    trainer = trainer or quiet(max_epochs=EPOCHS, **options)
    trainer.fit(module, loader(shuffle=True), loader(12) if validate else None)
    return module.net  # type: ignore[no-any-return]


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=1e-3)


def adam(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=0.01)


@pytest.mark.parametrize("optimizer", [sgd, adam, torch.optim.Adadelta, torch.optim.RMSprop])
@pytest.mark.parametrize("validate", [False, True])
def test_shuffle_and_dropout_with_validation_between_epochs(optimizer: Any, validate: bool) -> None:
    expected = by_hand(optimizer, validate=validate)
    found = by_trainer(lambda: ConfiguredAndValidated(optimizer), validate=validate)
    assert_same_weights(found, expected)


def test_default_callbacks_logger_and_logging_draw_no_random_number(tmp_path: Path) -> None:
    class Logging(ConfiguredAndValidated):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = loss_of(self.net, batch)
            self.log("loss", loss, prog_bar=True, on_step=True, on_epoch=True)
            return loss

    expected = by_hand(adam, validate=True)
    trainer = Trainer(max_epochs=EPOCHS, accelerator="cpu", default_root_dir=tmp_path, log_every_n_steps=1)
    assert_same_weights(by_trainer(lambda: Logging(adam), validate=True, trainer=trainer), expected)


@pytest.mark.parametrize("accumulate", [2, 3, 4, 20])
def test_accumulation(accumulate: int) -> None:
    expected = by_hand(sgd, accumulate=accumulate, validate=True)
    found = by_trainer(lambda: ConfiguredAndValidated(sgd), validate=True, accumulate_grad_batches=accumulate)
    assert_same_weights(found, expected)


@pytest.mark.parametrize("algorithm", ["norm", "value"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_clipping(algorithm: str, accumulate: int) -> None:
    expected = by_hand(adam, clip=(algorithm, 0.05), accumulate=accumulate)
    options = {
        "gradient_clip_val": 0.05,
        "gradient_clip_algorithm": algorithm,
        "accumulate_grad_batches": accumulate,
    }
    assert_same_weights(by_trainer(lambda: Configured(adam), **options), expected)


SCHEDULERS: list[tuple[Any, dict[str, Any]]] = [
    (lambda o: StepLR(o, 1, 0.5), {}),
    (lambda o: CosineAnnealingLR(o, 30), {"interval": "step"}),
    (lambda o: OneCycleLR(o, 0.1, total_steps=30), {"interval": "step"}),
    (lambda o: LambdaLR(o, lambda epoch: 1 / (1 + epoch)), {"interval": "epoch"}),
    (lambda o: ReduceLROnPlateau(o, patience=0, factor=0.1, threshold=0.5), {"monitor": "val_loss"}),
]


@pytest.mark.parametrize(("scheduler", "config"), SCHEDULERS)
def test_schedulers(scheduler: Any, config: dict[str, Any]) -> None:
    per_step = config.get("interval") == "step"
    expected = by_hand(adam, make_scheduler=scheduler, per_step=per_step, validate=True)
    found = by_trainer(lambda: ConfiguredAndValidated(adam, scheduler, config), validate=True)
    assert_same_weights(found, expected)


def test_autocast() -> None:
    expected = by_hand(adam, precision=torch.bfloat16)
    assert_same_weights(by_trainer(lambda: Configured(adam), precision="bf16-mixed"), expected)


def test_lbfgs_gets_its_closure() -> None:
    def lbfgs(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.LBFGS(parameters, lr=0.1, max_iter=4)

    torch.manual_seed(0)
    net = network()
    optimizer = lbfgs(net.parameters())
    for _ in range(EPOCHS):
        for batch in loader(shuffle=True):

            def closure(batch: Any = batch) -> Any:
                optimizer.zero_grad()
                loss = loss_of(net, batch)
                loss.backward()
                return loss

            optimizer.step(closure)
    assert_same_weights(by_trainer(lambda: Configured(lbfgs)), net)


class Adversarial(LightningModule):
    """Two optimizers by hand, with noise drawn in the step."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.net = nn.ModuleDict({"g": nn.Linear(4, 8), "d": network()})

    def training_step(self, batch: Any, batch_idx: int) -> None:
        opt_g, opt_d = self.optimizers()
        x, _ = batch
        fake = self.net["g"](torch.randn(len(x), 4))
        loss = self.net["d"](x).mean() - self.net["d"](fake.detach()).mean()
        opt_d.zero_grad()
        self.manual_backward(loss)
        opt_d.step()
        if batch_idx % 2 == 0:
            loss = self.net["d"](fake).mean()
            opt_g.zero_grad()
            self.manual_backward(loss)
            opt_g.step()

    def configure_optimizers(self) -> Any:
        return [
            torch.optim.Adam(self.net["g"].parameters(), 1e-3),
            torch.optim.Adam(self.net["d"].parameters(), 1e-3),
        ]


def test_manual_optimization_with_two_optimizers() -> None:
    torch.manual_seed(0)
    net = nn.ModuleDict({"g": nn.Linear(4, 8), "d": network()})
    opt_g = torch.optim.Adam(net["g"].parameters(), 1e-3)
    opt_d = torch.optim.Adam(net["d"].parameters(), 1e-3)
    for _ in range(EPOCHS):
        for i, (x, _) in enumerate(loader(shuffle=True)):
            fake = net["g"](torch.randn(len(x), 4))
            opt_d.zero_grad()
            (net["d"](x).mean() - net["d"](fake.detach()).mean()).backward()
            opt_d.step()
            if i % 2 == 0:
                opt_g.zero_grad()
                net["d"](fake).mean().backward()
                opt_g.step()
    assert_same_weights(by_trainer(Adversarial), net)


class Drawing(IterableDataset[Any]):
    """No length, and draws from the global random state while it is read."""

    def __iter__(self) -> Iterator[Any]:
        for _ in range(6):
            yield torch.randn(4, 8), torch.randint(0, 3, (4,))


@pytest.mark.parametrize("wrap", [lambda data: data, lambda data: DataLoader(data, batch_size=None)])
def test_loader_without_a_length_is_not_read_ahead(wrap: Any) -> None:
    """Reading one batch ahead would draw its random numbers before the dropout of the batch before it."""
    torch.manual_seed(0)
    net = network()
    optimizer = sgd(net.parameters())
    for _ in range(EPOCHS):
        for batch in wrap(Drawing()):
            optimizer.zero_grad()
            loss_of(net, batch).backward()
            optimizer.step()
    torch.manual_seed(0)
    module = Configured(sgd)
    quiet(max_epochs=EPOCHS).fit(module, wrap(Drawing()))
    assert_same_weights(module.net, net)


def test_range_as_loader_draws_nothing() -> None:
    """Full-batch training: the loader is only there to count."""

    class FullBatch(Configured):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return loss_of(self.net, full)

    full = next(iter(loader(40, 40)))
    torch.manual_seed(0)
    net = network()
    optimizer = adam(net.parameters())
    for _ in range(EPOCHS):
        optimizer.zero_grad()
        loss_of(net, full).backward()
        optimizer.step()
    torch.manual_seed(0)
    module = FullBatch(adam)
    quiet(max_epochs=EPOCHS).fit(module, range(1))
    assert_same_weights(module.net, net)


def test_sized_generator_runs_to_its_end() -> None:
    """A hand-written `for` lets a loader's generator finish; code after its last yield is part of the experiment."""

    class Counting:
        ended = 0

        def __len__(self) -> int:
            return 3

        def __iter__(self) -> Iterator[Any]:
            yield from list(loader(12))
            self.ended += 1

    data = Counting()
    quiet(max_epochs=4).fit(Classifier(), data)
    assert data.ended == 4


def test_evaluation_modes_come_back_as_they_were() -> None:
    """A submodule that the user froze in eval mode stays so after validation."""

    class Frozen(ConfiguredAndValidated):
        def on_train_start(self) -> None:
            self.net[2].eval()

        def on_train_epoch_end(self) -> None:
            assert self.net.training and not self.net[2].training

    by_trainer(lambda: Frozen(sgd), validate=True)
