"""Profilers: what they record, what they write, and that training is the same with them."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.models import Classifier, Validated, assert_same_weights, loader, quiet

from litify import Callback, MisconfigurationException
from litify.profilers import AdvancedProfiler, PassThroughProfiler, Profiler, PyTorchProfiler, SimpleProfiler


class Watcher(Callback):
    """A hook to be seen in reports."""

    def on_train_batch_end(self, *args: Any) -> None:
        pass


@pytest.mark.parametrize("kind", ["simple", "advanced", "pytorch"])
def test_training_is_the_same_with_a_profiler(tmp_path: Path, kind: str) -> None:
    module = Validated()
    other = copy.deepcopy(module)
    for each, profiler in ((module, kind), (other, None)):
        torch.manual_seed(4)
        quiet(tmp_path, profiler=profiler).fit(each, loader(shuffle=True), loader())
    assert_same_weights(module, other)


def test_simple_profiler_reports_steps_and_hooks(tmp_path: Path) -> None:
    profiler = SimpleProfiler(tmp_path, "times")
    trainer = quiet(tmp_path, profiler=profiler, callbacks=[Watcher()], max_epochs=1)
    trainer.fit(Validated(), loader(), loader())
    counts = {action: len(times) for action, times in profiler.recorded_durations.items()}
    strategy = "[Strategy]SingleDeviceStrategy."
    assert counts[strategy + "training_step"] == counts[strategy + "backward"] == 10
    assert counts[strategy + "optimizer_step"] == counts["[Callback]Watcher.on_train_batch_end"] == 10
    assert counts[strategy + "validation_step"] == 12  # two of them in the sanity check
    report = (tmp_path / "fit-times.txt").read_text()
    assert report.startswith("FIT Profiler Report") and "Percentage %" in report
    assert f"{strategy}training_step" in report
    trainer.test(Validated(), loader())
    assert (tmp_path / "test-times.txt").exists()


def test_simple_profiler_counts_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    profiler = SimpleProfiler(extended=False)
    for seconds in (0.02, 0.04):
        with profiler.profile("nap"):
            time.sleep(seconds)
    assert profiler.recorded_durations["nap"] == pytest.approx([0.02, 0.04], rel=0.5)
    profiler.describe()
    assert "nap" in capsys.readouterr().err
    with pytest.raises(ValueError, match="never started"):
        profiler.stop("walk")
    profiler.start("walk")
    with pytest.raises(ValueError, match="already been started"):
        profiler.start("walk")


def test_advanced_profiler_names_functions(tmp_path: Path) -> None:
    profiler = AdvancedProfiler(tmp_path, "calls", line_count_restriction=50, dump_stats=True)
    quiet(tmp_path, profiler=profiler, max_epochs=1).fit(Classifier(), loader())
    report = (tmp_path / "fit-calls.txt").read_text()
    assert "Profile stats for: [Strategy]SingleDeviceStrategy.training_step" in report
    assert "loss_of" in report
    assert (tmp_path / "fit-calls-[Strategy]SingleDeviceStrategy.training_step.prof").stat().st_size > 0
    with pytest.raises(ValueError, match="never started"):
        profiler.stop("walk")


def test_advanced_profiler_nests() -> None:
    profiler = AdvancedProfiler()
    with profiler.profile("outer"):
        sum(range(10))
        with profiler.profile("inner"):
            max(range(10))
        min(range(10))
    names = {action: str(profile.getstats()) for action, profile in profiler.profiled_actions.items()}
    assert "min" in names["outer"] and "max" in names["inner"] and "max" not in names["outer"]
    assert copy.deepcopy(profiler).profiled_actions == {}


def test_pytorch_profiler_names_actions_and_layers(tmp_path: Path) -> None:
    profiler = PyTorchProfiler(tmp_path, "ops", schedule=None, table_kwargs={"max_name_column_width": 90})
    quiet(tmp_path, profiler=profiler, max_epochs=1).fit(Validated(), loader(), loader())
    names = {event.name for event in profiler.function_events}
    assert "[pl][profile][Strategy]SingleDeviceStrategy.training_step" in names
    assert "[pl][module]torch.nn.modules.linear.Linear: net.0" in names
    assert "aten::linear" in (tmp_path / "fit-ops.txt").read_text()


def test_pytorch_profiler_is_over_when_fit_is(tmp_path: Path) -> None:
    class Late(Callback):
        def on_fit_end(self, *args: Any) -> None:
            pass

    profiler = PyTorchProfiler(tmp_path, "ops", schedule=None)
    trainer = quiet(tmp_path, profiler=profiler, callbacks=[Late()], max_epochs=1)
    trainer.fit(Validated(), loader())
    assert profiler.profiler is None and not torch.autograd._profiler_enabled()
    trainer.validate(Validated(), loader(), verbose=False)
    assert (tmp_path / "validate-ops.txt").exists()


def test_what_was_recorded_can_be_asked_for_again(tmp_path: Path) -> None:
    profiler = PyTorchProfiler(tmp_path, "ops", schedule=None)
    with profiler.profile("mine"):
        torch.ones(1)
    profiler.describe()
    assert "mine" in profiler.summary() and profiler.summary() == profiler.summary()
    with profiler.profile("another"):
        torch.ones(1)
    again = profiler.summary()
    assert "another" in again and "mine" not in again


def test_profilers_record_how_loaders_are_made_and_hooks_that_do_nothing(tmp_path: Path) -> None:
    profiler = SimpleProfiler()
    quiet(tmp_path, max_epochs=1, profiler=profiler, callbacks=[Callback()]).fit(
        Validated(), loader(), loader(8)
    )
    recorded = profiler.recorded_durations
    assert {
        "setup_train_dataloader",
        "setup_val_dataloader",
        "[Callback]Callback.on_train_start",
    } <= recorded.keys()


def test_pytorch_profiler_writes_a_trace(tmp_path: Path) -> None:
    profiler = PyTorchProfiler(tmp_path, "ops")
    quiet(tmp_path, profiler=profiler, max_epochs=1).fit(Classifier(), loader())
    assert list(tmp_path.glob("fit-ops-training_step*.pt.trace.json"))


def test_pytorch_profiler_records_all_of_a_short_run(tmp_path: Path) -> None:
    profiler = PyTorchProfiler(tmp_path, "ops")
    with pytest.warns(UserWarning, match="too few steps"):
        quiet(tmp_path, profiler=profiler, limit_train_batches=3, max_epochs=1).fit(Classifier(), loader())
    assert profiler.function_events


def test_profilers_refuse_what_makes_no_sense() -> None:
    with pytest.raises(MisconfigurationException, match="pass one of 'simple', 'advanced', 'pytorch'"):
        quiet(profiler="slow")
    with pytest.raises(MisconfigurationException, match="sort_by_key='weight'"):
        PyTorchProfiler(sort_by_key="weight")
    with pytest.raises(MisconfigurationException, match="schedule=3"):
        PyTorchProfiler(schedule=3)
    with pytest.raises(KeyError, match="colour"):
        PyTorchProfiler(table_kwargs={"colour": True})


def test_a_profiler_stops_when_training_fails(tmp_path: Path) -> None:
    class Failing(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            raise ZeroDivisionError

    profiler = PyTorchProfiler(tmp_path)
    with pytest.raises(ZeroDivisionError):
        quiet(tmp_path, profiler=profiler).fit(Failing(), loader())
    assert profiler.profiler is None and not torch.autograd._profiler_enabled()


def test_users_profile_their_own_actions(tmp_path: Path) -> None:
    class Own(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            with self.trainer.profiler.profile("my loss"):
                return super().training_step(batch, batch_idx)

    trainer = quiet(tmp_path, profiler="simple", max_epochs=1)
    trainer.fit(Own(), loader())
    profiler: Any = trainer.profiler
    assert len(profiler.recorded_durations["my loss"]) == 10
    plain = quiet(tmp_path, max_epochs=1)
    plain.fit(Own(), loader())
    assert isinstance(plain.profiler, PassThroughProfiler) and isinstance(plain.profiler, Profiler)
