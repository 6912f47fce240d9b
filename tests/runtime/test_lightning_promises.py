"""Small promises of Lightning's public interface that scripts rely on, each with the misuse it guards against."""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import ANY, patch

import pytest
import torch
from tests.runtime.models import Classifier, Validated, loader, loss_of, quiet
from torch import nn
from torch.utils.data import Dataset

from litify import Callback, LightningDataModule, LightningModule, Trainer, core, utilities
from litify.accelerators import find_usable_cuda_devices
from litify.accelerators.cuda import CUDAAccelerator
from litify.callbacks import ModelCheckpoint, TQDMProgressBar
from litify.errors import MisconfigurationException, MissingExtra, SIGTERMException
from litify.hparams import is_picklable
from litify.loggers import TensorBoardLogger
from litify.optim import LightningOptimizer
from litify.precision import DoublePrecision, HalfPrecision
from litify.precision.base import GradClipAlgorithmType
from litify.precision.mixed import HalfMixedPrecision, MixedPrecision
from litify.rank_zero import say
from litify.state import TrainerState, TrainerStatus
from litify.strategies import StrategyRegistry
from litify.strategies.single_device import SingleDeviceStrategy
from litify.utilities import exceptions, rank_zero, types

# -- optimizers ----------------------------------------------------------------------------------------------------------


class WithoutGradients(torch.optim.SGD):
    """As some libraries write it: gradients are off within `step`, where the closure is called."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        loss = closure() if closure is not None else None
        super().step()
        return loss


class Forgetful(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        return super().step()


def optimized_by(kind: type[torch.optim.Optimizer]) -> Classifier:
    class Module(Classifier):
        def configure_optimizers(self) -> Any:
            return kind(self.parameters(), lr=0.1)  # type: ignore[call-arg]

    return Module()


def test_the_closure_runs_with_gradients(tmp_path: Path) -> None:
    module = optimized_by(WithoutGradients)
    before = module.net[0].weight.detach().clone()
    quiet(tmp_path, max_epochs=1).fit(module, loader())
    assert not torch.equal(before, module.net[0].weight)


def test_an_optimizer_that_forgets_the_closure_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MisconfigurationException, match=r"Forgetful\.step did not call its closure"):
        quiet(tmp_path, max_epochs=1).fit(optimized_by(Forgetful), loader())


def test_a_step_put_into_the_class_gets_the_closure(tmp_path: Path) -> None:
    with patch("torch.optim.SGD.step", side_effect=lambda closure: closure()) as step:
        quiet(tmp_path, max_epochs=1, limit_train_batches=2).fit(optimized_by(torch.optim.SGD), loader())
    assert step.call_args_list == [((), {"closure": ANY})] * 2


def test_an_optimizer_of_the_trainer_has_a_name_and_pickles() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.5)
    wrapped = LightningOptimizer(optimizer)
    assert str(wrapped) == "Lightning" + str(optimizer)
    assert pickle.loads(pickle.dumps(wrapped)).param_groups[0]["lr"] == 0.5


def test_optimizer_idx_steps_by_itself_whatever_automatic_optimization_says(tmp_path: Path) -> None:
    class ByIndex(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = True
            self.net = nn.Linear(8, 3)

        def training_step(self, batch: Any, batch_idx: int, optimizer_idx: int) -> Any:  # type: ignore[override]
            return loss_of(self.net, batch)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    trainer = quiet(tmp_path, max_epochs=1)
    trainer.fit(ByIndex(), loader())
    assert trainer.global_step == 10


def test_clip_algorithms() -> None:
    assert GradClipAlgorithmType.supported_types() == ["value", "norm"]
    assert GradClipAlgorithmType.supported_type("norm") and not GradClipAlgorithmType.supported_type("max")


# -- modules -------------------------------------------------------------------------------------------------------------


def test_freeze_and_unfreeze_return_the_module() -> None:
    module = Classifier()
    assert module.freeze() is module and not module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert module.unfreeze() is module and module.training
    assert all(parameter.requires_grad for parameter in module.parameters())


@pytest.mark.parametrize(("said", "asked", "expected"), [
    (None, None, True), (None, False, False), (False, None, False), (True, None, True), (False, False, False),
    (False, True, "error"), (True, False, "error"),
])  # fmt: skip
def test_strict_loading_is_said_in_one_place(tmp_path: Path, said: Any, asked: Any, expected: Any) -> None:
    class Module(Classifier):
        def __init__(self) -> None:
            super().__init__()
            self.strict_loading = said

    trainer = quiet(tmp_path, max_epochs=0)
    trainer.fit(Module(), loader())
    trainer.save_checkpoint(tmp_path / "kept.ckpt")
    with patch.object(Module, "load_state_dict", return_value=None) as loaded:
        if expected == "error":
            with pytest.raises(ValueError, match="strict_loading"):
                Module.load_from_checkpoint(tmp_path / "kept.ckpt", strict=asked)
        else:
            Module.load_from_checkpoint(tmp_path / "kept.ckpt", strict=asked)
            loaded.assert_called_once_with(ANY, strict=expected)


def test_a_function_named_by_a_checkpoint_is_not_called(tmp_path: Path) -> None:
    kept = {"state_dict": {}, "hyper_parameters": {"_instantiator": "os.system"}}
    torch.save(kept, tmp_path / "bad.ckpt")
    with pytest.raises(ValueError, match=r"os\.system"):
        Classifier.load_from_checkpoint(tmp_path / "bad.ckpt", strict=False)


def test_compiled_functions_are_no_hyperparameters() -> None:
    assert not is_picklable(torch.jit.ScriptModule())
    assert is_picklable(nn.Linear(1, 1))


def test_a_metric_of_several_numbers_is_refused(tmp_path: Path) -> None:
    class Two(nn.Module):
        """What a torchmetrics.Metric is to `self.log`."""

        def update(self, *args: Any) -> None: ...

        def reset(self) -> None: ...

        def compute(self) -> Any:
            return torch.tensor(1.0), torch.tensor(2.0)

    class Module(Classifier):
        def __init__(self) -> None:
            super().__init__()
            self.two = Two()

        def on_train_start(self) -> None:
            self.log("pair", self.two)

    with pytest.raises(ValueError, match=r"'pair'.*compute\(\) of Two returned a tuple"):
        quiet(tmp_path, max_epochs=1).fit(Module(), loader())


def test_a_metric_must_be_kept_by_the_module(tmp_path: Path) -> None:
    class Metric(nn.Module):
        def update(self, *args: Any) -> None: ...

        def reset(self) -> None: ...

        def compute(self) -> Any:
            return torch.tensor(1.0)

    class Module(Classifier):
        def on_train_epoch_end(self) -> None:
            self.log("fresh", Metric())

    class Kept(Classifier):
        def __init__(self) -> None:
            super().__init__()
            self.deep = nn.ModuleDict({"inside": Metric()})

        def on_train_epoch_end(self) -> None:
            self.log("kept", self.deep["inside"])

    with pytest.raises(MisconfigurationException, match=r"'fresh'.*no attribute of Module"):
        quiet(tmp_path, max_epochs=1).fit(Module(), loader())
    trainer = quiet(tmp_path, max_epochs=1)
    trainer.fit(Kept(), loader())
    assert trainer.callback_metrics["kept"] == 1


def test_callbacks_log_too(tmp_path: Path) -> None:
    class Logging(Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
            self.log("steps", trainer.global_step, on_step=False, on_epoch=True, reduce_fx="max")

        def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            self.log_dict({"one": 1, "two": 2})

    callback = Logging()
    trainer = quiet(tmp_path, max_epochs=1, callbacks=[callback])
    trainer.fit(Validated(), loader(), loader(8))
    found = {name: float(trainer.callback_metrics[name]) for name in ("steps", "one", "two")}
    assert found == {"steps": 10, "one": 1, "two": 2}
    assert not hasattr(callback, "log")  # nothing runs


def test_a_callback_keeps_a_log_of_its_own(tmp_path: Path) -> None:
    class Keeping(Callback):
        def __init__(self) -> None:
            self.log: Any = []

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            self.log.append(trainer.current_epoch)

    callback = Keeping()
    quiet(tmp_path, max_epochs=2, callbacks=[callback]).fit(Classifier(), loader())
    assert callback.log == [0, 1]


def test_a_graph_of_what_cannot_be_traced_is_told(tmp_path: Path) -> None:
    module = Classifier()
    logger = TensorBoardLogger(tmp_path, log_graph=True)
    module.example_input_array = {"x": 1}
    with pytest.warns(UserWarning, match="not a dict"):
        logger.log_graph(module)
    module.forward = module.net.forward  # type: ignore[method-assign]
    logger.log_graph(module, torch.zeros(1, 8))  # without a Trainer
    assert module._trainer is None


def test_own_zero_grad_runs_before_validation(tmp_path: Path) -> None:
    class Module(Validated):
        cleared = 0

        def zero_grad(self, set_to_none: bool = True) -> None:
            self.cleared += 1
            super().zero_grad(set_to_none)

    module = Module()
    quiet(tmp_path, max_epochs=2).fit(module, loader(), loader(8))
    assert module.cleared == 3  # as fit begins, and before each validation


def test_module_and_trainer_can_be_saved_whole(tmp_path: Path) -> None:
    bar = TQDMProgressBar()
    trainer = Trainer(default_root_dir=tmp_path, max_epochs=1, callbacks=[bar], accelerator="cpu")
    trainer.fit(Validated(), loader(), loader(8))
    torch.save(trainer.model, tmp_path / "module.pt")
    torch.save(trainer, tmp_path / "trainer.pt")
    again = torch.load(tmp_path / "trainer.pt", weights_only=False)
    assert again.global_step == trainer.global_step and again.callback_metrics.keys() == {"val_loss"}
    again.validate(again.model, loader(8), verbose=False)
    pickle.dumps(bar)


# -- data ----------------------------------------------------------------------------------------------------------------


def test_from_datasets_hands_on_what_init_takes() -> None:
    class Data(LightningDataModule):
        def __init__(self, batch_size: int = 1) -> None:
            super().__init__()
            self.batch_size = batch_size

    class Any_(LightningDataModule):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__()
            self.given = kwargs

    data: Dataset[Any] = loader().dataset
    assert Data.from_datasets(data, batch_size=4, num_workers=2).batch_size == 4  # type: ignore[attr-defined]
    assert Any_.from_datasets(data, batch_size=4, other=1).given == {  # type: ignore[attr-defined]
        "batch_size": 4,
        "num_workers": 0,
        "other": 1,
    }


# -- the Trainer ---------------------------------------------------------------------------------------------------------


def test_state_before_anything_runs() -> None:
    trainer = Trainer(logger=False)
    assert trainer.max_epochs is None and trainer.state == TrainerState(status=TrainerStatus.INITIALIZING)
    trainer.loggers = None  # type: ignore[assignment]
    assert trainer.loggers == [] and trainer.logger is None


def test_devices_of_another_type_are_a_type_error() -> None:
    with pytest.raises(TypeError, match="whole numbers"):
        CUDAAccelerator().indices(["0"])


def test_a_missing_extra_is_a_missing_module() -> None:
    assert issubclass(MissingExtra, ModuleNotFoundError)


def test_the_bar_knows_epochs_without_validation(tmp_path: Path) -> None:
    class Asking(Validated):
        def __init__(self) -> None:
            super().__init__()
            self.totals: list[float] = []

        def on_train_epoch_end(self) -> None:
            self.totals.append(self.trainer.progress_bar_callback.total_val_batches)

    module, bar = Asking(), TQDMProgressBar(refresh_rate=0)
    options = {"max_epochs": 4, "check_val_every_n_epoch": 2, "enable_progress_bar": True, "callbacks": [bar]}
    quiet(tmp_path, **options).fit(module, loader(), loader(8))
    assert module.totals == [0, 2, 0, 2]


def test_checkpoints_may_monitor_the_step(tmp_path: Path) -> None:
    options = {"dirpath": tmp_path / "kept", "monitor": "step", "mode": "max", "save_top_k": 2}
    checkpoints = ModelCheckpoint(every_n_train_steps=2, filename="{step}", **options)
    quiet(tmp_path, max_steps=7, enable_checkpointing=True, callbacks=[checkpoints]).fit(
        Classifier(), loader()
    )
    assert set(os.listdir(tmp_path / "kept")) == {"step=4.ckpt", "step=6.ckpt"}


def test_a_monitor_that_only_the_epoch_logs_is_told_of(tmp_path: Path) -> None:
    class Module(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = super().training_step(batch, batch_idx)
            self.log("late", loss, on_step=False, on_epoch=True)
            return loss

    checkpoints = ModelCheckpoint(tmp_path / "kept", monitor="late", every_n_train_steps=2)
    trainer = quiet(tmp_path, max_epochs=1, enable_checkpointing=True, callbacks=[checkpoints])
    with pytest.warns(UserWarning, match=r"'late'.*no such metric"):
        trainer.fit(Module(), loader())


def test_what_the_trainer_says_goes_by_a_logger(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("litify")
    say("heard")
    assert capsys.readouterr().err == "heard\n" and caplog.messages == ["heard"]
    log.setLevel(logging.ERROR)
    try:
        say("silenced")
    finally:
        log.setLevel(logging.INFO)
    assert capsys.readouterr().err == ""


def test_a_console_of_the_program_shows_messages_once(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    logging.getLogger().addHandler(handler)
    try:
        say("heard")
    finally:
        logging.getLogger().removeHandler(handler)
    assert capsys.readouterr().err == "heard\n"


def test_possible_mistakes_can_be_silenced_by_the_environment() -> None:
    code = "import warnings\nfrom litify.rank_zero import PossibleUserWarning, warn\nwarn('x', PossibleUserWarning)"
    environment = {**os.environ, "POSSIBLE_USER_WARNINGS": "off"}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert told.returncode == 0 and told.stderr == ""


def test_utilities_by_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    missing = [name for name in utilities.__all__ if not hasattr(utilities, name)]
    assert not missing
    utilities.rank_zero_info("to", "all")
    assert capsys.readouterr().err == "to all\n"
    with pytest.warns(DeprecationWarning, match="old") as told:
        utilities.rank_zero_deprecation("old")
    assert told[0].filename == __file__
    assert types.STEP_OUTPUT is not None and exceptions.SIGTERMException is SIGTERMException
    assert rank_zero.rank_zero_only is utilities.rank_zero_only
    assert core.LightningModule is LightningModule


@pytest.mark.parametrize(("asked", "found"), [(-1, [0, 2]), (1, [0]), (3, RuntimeError), (4, ValueError)])
def test_gpus_in_use_by_others_are_passed_over(asked: int, found: Any) -> None:
    def tensor(value: float, device: torch.device) -> None:
        if device.index == 1:
            raise RuntimeError("CUDA-capable device(s) is/are busy or unavailable")

    with patch("torch.cuda.device_count", return_value=3), patch("torch.tensor", tensor):
        if isinstance(found, list):
            assert find_usable_cuda_devices(asked) == found
        else:
            with pytest.raises(found):
                find_usable_cuda_devices(asked)


# -- precision, strategies -------------------------------------------------------------------------------------------------


class OwnAMP(MixedPrecision):
    """At module level, as processes that spawn makes must find it."""

    extra = 1


def test_a_class_of_ones_own_stays_itself_with_a_loss_scale() -> None:
    own = OwnAMP("16-mixed")
    assert isinstance(own, OwnAMP) and isinstance(own, HalfMixedPrecision) and own.scaler is not None
    again = pickle.loads(pickle.dumps(own))
    assert isinstance(again, OwnAMP) and isinstance(again, HalfMixedPrecision)
    assert not isinstance(OwnAMP("bf16-mixed"), HalfMixedPrecision)


def test_true_precision_leaves_complex_buffers_complex() -> None:
    module = nn.Linear(1, 1)
    module.register_buffer("wave", torch.complex(torch.ones(2), torch.ones(2)))
    DoublePrecision().convert_module(module)
    assert module.weight.dtype == torch.float64
    assert torch.equal(module.wave, torch.complex(torch.ones(2), torch.ones(2)))


@pytest.mark.parametrize(("precision", "dtype"), [
    (DoublePrecision(), torch.float64), (HalfPrecision("16-true"), torch.float16),
])  # fmt: skip
def test_a_strategy_says_how_tensors_are_made(precision: Any, dtype: torch.dtype) -> None:
    strategy = SingleDeviceStrategy(device="cpu", precision_plugin=precision)
    with patch.object(torch.Tensor, "uniform_") as drawn, strategy.tensor_init_context(empty_init=True):
        made = nn.Linear(2, 2)
    assert made.weight.dtype == dtype
    drawn.assert_not_called()


@pytest.mark.parametrize("later", [False, True])
def test_a_strategy_may_load_checkpoints_after_its_setup(tmp_path: Path, later: bool) -> None:
    order: list[str] = []

    class Own(SingleDeviceStrategy):
        restore_checkpoint_after_setup = later

        def setup(self, trainer: Any) -> None:
            order.append("setup")
            super().setup(trainer)

        def load_checkpoint(self, *args: Any, **kwargs: Any) -> Any:
            order.append("load")
            return super().load_checkpoint(*args, **kwargs)

    trainer = quiet(tmp_path, max_epochs=1)
    trainer.fit(Classifier(), loader())
    trainer.save_checkpoint(tmp_path / "kept.ckpt")
    quiet(tmp_path, max_epochs=2, strategy=Own()).fit(
        Classifier(), loader(), ckpt_path=tmp_path / "kept.ckpt"
    )
    assert order == (["setup", "load"] if later else ["load", "setup"])


def test_names_of_strategies_can_be_looked_up_and_added() -> None:
    found = StrategyRegistry["ddp_find_unused_parameters_false"]
    assert found["init_params"] == {"find_unused_parameters": False, "start_method": "popen"}
    assert "ddp" in StrategyRegistry and StrategyRegistry.get("nothing", 1) == 1
    with pytest.raises(KeyError, match="nothing"):
        StrategyRegistry.get("nothing")

    @StrategyRegistry.register("mine", description="of a test")
    class Mine(SingleDeviceStrategy):
        pass

    try:
        assert isinstance(Trainer(strategy="mine", logger=False).strategy, Mine)
        assert StrategyRegistry["mine"]["description"] == "of a test"
        with pytest.raises(MisconfigurationException, match="taken"):
            StrategyRegistry.register("mine", Mine)
    finally:
        StrategyRegistry.remove("mine")
