"""The table of layers, and what rich draws."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.models import Classifier, Validated, loader, quiet
from torch import nn

from litify import LightningModule, Trainer
from litify.callbacks import ModelSummary, RichModelSummary, RichProgressBar, RichProgressBarTheme
from litify.utilities.model_summary import ModelSummary as Table
from litify.utilities.model_summary import get_human_readable_count, summarize


class Shapes(LightningModule):
    """Layers out of order, one unused, a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Sequential(nn.Linear(5, 7), nn.ReLU())
        self.first = nn.Linear(3, 5)
        self.unused = nn.Conv2d(1, 1, 1)
        self.own = nn.Parameter(torch.ones(2, 2))
        self.example_input_array = torch.rand(4, 3)

    def forward(self, x: Any) -> Any:
        return self.second(self.first(x))


def test_the_table_knows_shapes_parameters_and_flops() -> None:
    module = Shapes()
    module.first.eval()
    found = summarize(module)
    assert found.layer_names == ["second", "first", "unused"]
    assert found.layer_types == ["Sequential", "Linear", "Conv2d"]
    assert found.in_sizes == [[4, 5], [4, 3], "?"] and found.out_sizes == [[4, 7], [4, 5], "?"]
    assert found.param_nums == [42, 20, 2] and found.total_parameters == 68
    assert found.total_training_modes == {"train": 4, "eval": 1} and module.training
    assert found.total_flops == 2 * 4 * (3 * 5 + 5 * 7)
    assert found.model_size == pytest.approx(68 * 4e-6)
    text = str(found)
    assert "other params" in text and "[4, 5]" in text and "64        Trainable" not in text
    assert not any(layer._forward_hooks for layer in module.modules())


def test_lazy_layers_are_told_where_all_parameters_are_counted(recwarn: pytest.WarningsRecorder) -> None:
    class Lazy(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.LazyLinear(3)

    table = Table(Lazy())
    assert table.trainable_parameters == 0 and not recwarn.list
    with pytest.warns(UserWarning, match="Lazy layers have no parameters"):
        assert table.total_parameters == 0


@pytest.mark.parametrize(("depth", "names"), [(0, 0), (1, 3), (2, 5), (-1, 5)])
def test_the_table_goes_as_deep_as_asked(depth: int, names: int) -> None:
    assert len(Table(Shapes(), depth).layer_names) == names


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0  "),
        (123, "123  "),
        (1234, "1.2 K"),
        (2e6, "2.0 M"),
        (3e9, "3.0 B"),
        (4e14, "400 T"),
        (5e15, "5,000 T"),
    ],
)
def test_counts_are_short(number: int, text: str) -> None:
    assert get_human_readable_count(number) == text


def test_summaries_warn_about_what_they_cannot_know() -> None:
    class Lazy(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.LazyLinear(5)

    with pytest.warns(UserWarning, match="counts are too low"):
        assert summarize(Lazy()).total_parameters == 0
    module = Shapes()
    module.trainer = Trainer(
        accelerator="cpu", precision="bf16-mixed", logger=False, enable_checkpointing=False
    )
    with pytest.warns(UserWarning, match="4 bytes per parameter"):
        assert summarize(module).model_size == pytest.approx(68 * 4e-6)
    with pytest.raises(ValueError, match="pass -1 for all layers"):
        summarize(Shapes(), max_depth=-2)


def test_the_callback_prints_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quiet(tmp_path, callbacks=[ModelSummary(max_depth=2)], max_epochs=1).fit(Classifier(), loader())
    text = capsys.readouterr().err
    assert "net.0" in text and "Total params" in text


def test_rich_draws_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich")
    quiet(tmp_path, callbacks=[RichModelSummary()], max_epochs=1).fit(Classifier(), loader())
    text = capsys.readouterr().err
    assert "net" in text and "Sequential" in text and "Total params" in text


def test_a_rich_bar_brings_a_rich_summary(tmp_path: Path) -> None:
    pytest.importorskip("rich")
    options: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "default_root_dir": tmp_path}
    kinds = [type(callback) for callback in Trainer(**options, callbacks=RichProgressBar()).callbacks]
    assert kinds == [RichProgressBar, RichModelSummary]
    own = [RichProgressBar(), ModelSummary(3)]
    assert Trainer(**options, callbacks=own).callbacks == own
    without = Trainer(**options, callbacks=RichProgressBar(), enable_model_summary=False)
    assert len(without.callbacks) == 1


def test_who_asks_for_a_summary_gets_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not any(isinstance(callback, ModelSummary) for callback in Trainer(logger=False).callbacks)
    quiet(tmp_path, enable_model_summary=True, max_epochs=1).fit(Classifier(), loader())
    assert "Total params" in capsys.readouterr().err


@pytest.mark.parametrize("leave", [False, True])
def test_the_rich_bar_shows_epochs_and_metrics(tmp_path: Path, leave: bool) -> None:
    pytest.importorskip("rich")

    class Logs(Validated):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("loss_now", 0.25, prog_bar=True)
            return super().training_step(batch, batch_idx)

    screen = io.StringIO()
    theme = RichProgressBarTheme(metrics_format=".1e")
    bar = RichProgressBar(
        leave=leave, theme=theme, console_kwargs={"file": screen, "width": 120, "force_terminal": True}
    )
    options: dict[str, Any] = {"enable_progress_bar": True, "enable_model_summary": False}
    trainer = quiet(tmp_path, callbacks=[bar], **options)
    trainer.fit(Logs(), loader(), loader(8))
    text = screen.getvalue()
    assert "Epoch 1/1" in text and "10/10" in text and "loss_now: 2.5e-01" in text
    assert "Sanity Checking" in text and "Validation" in text
    for method, title in (("validate", "Validation"), ("test", "Testing")):
        screen.truncate(0)
        getattr(trainer, method)(Logs(), loader(8), verbose=False)
        assert title in screen.getvalue() and "2/2" in screen.getvalue()


def test_a_bar_of_unknown_length_and_a_silent_one(tmp_path: Path) -> None:
    pytest.importorskip("rich")
    screen = io.StringIO()
    bar = RichProgressBar(console_kwargs={"file": screen, "width": 120, "force_terminal": True})
    options: dict[str, Any] = {"enable_progress_bar": True, "max_epochs": 1}
    quiet(tmp_path, callbacks=[bar], **options).fit(Classifier(), (batch for batch in loader(8)))
    assert "2/?" in screen.getvalue()
    silent = RichProgressBar(refresh_rate=0)
    assert silent.is_disabled
    quiet(tmp_path, callbacks=[silent], **options).fit(Classifier(), loader())
    assert silent.progress is None


def test_the_rich_bar_ends_with_a_failed_training(tmp_path: Path) -> None:
    pytest.importorskip("rich")

    class Failing(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            raise ZeroDivisionError

    bar = RichProgressBar()
    with pytest.raises(ZeroDivisionError):
        quiet(tmp_path, callbacks=[bar], enable_progress_bar=True).fit(Failing(), loader())
    assert bar.progress.finished or not bar.progress.live.is_started
