"""The tables about Lightning agree with the installed Lightning."""

from __future__ import annotations

import importlib
import inspect

import pytest

from litify_linter.reading.lightning import HOOK_ARGUMENTS
from litify_linter.rules.misplaced_log import OUTSIDE_LOOPS
from litify_linter.rules.read_only_attribute import READ_ONLY
from litify_linter.rules.removed_fit_argument import RENAMED
from litify_linter.rules.removed_hook import REMOVED as REMOVED_HOOKS
from litify_linter.rules.removed_import import REMOVED as REMOVED_IMPORTS
from litify_linter.rules.removed_trainer_argument import REMOVED as REMOVED_ARGUMENTS
from litify_linter.rules.removed_trainer_argument import RENAMED as RENAMED_ARGUMENTS
from litify_linter.rules.removed_trainer_attribute import REMOVED as REMOVED_ATTRIBUTES
from litify_linter.rules.unknown_trainer_argument import ARGUMENTS

try:
    import lightning.pytorch as pl
except (ImportError, RuntimeError) as error:
    pytest.skip(f"lightning does not import here: {error}", allow_module_level=True)

STEPS = {"training_step", "validation_step", "test_step", "predict_step"}  # declared with *args


@pytest.mark.parametrize("hook", sorted(HOOK_ARGUMENTS.keys() - STEPS))
def test_hooks_exist_and_take_so_many_arguments(hook):
    names = [
        p
        for p in inspect.signature(getattr(pl.LightningModule, hook)).parameters.values()
        if p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    assert len(names) - 1 == HOOK_ARGUMENTS[hook]


def test_steps_exist():
    assert all(hasattr(pl.LightningModule, step) for step in STEPS)


@pytest.mark.parametrize("hook", sorted(REMOVED_HOOKS))
def test_removed_hooks_are_gone(hook):
    assert not hasattr(pl.LightningModule, hook)
    assert not hasattr(pl.Callback, hook)


@pytest.mark.parametrize("argument", sorted(REMOVED_ARGUMENTS))
def test_removed_arguments_are_gone(argument):
    assert argument not in inspect.signature(pl.Trainer.__init__).parameters


@pytest.mark.parametrize("attribute", sorted(REMOVED_ATTRIBUTES))
def test_removed_attributes_are_gone(attribute):
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    assert not hasattr(trainer, attribute)


def test_hooks_that_take_no_log():
    from lightning.pytorch.trainer.connectors.logger_connector.fx_validator import _FxValidator

    forbidden = {name for name, options in _FxValidator.functions.items() if options is None}
    assert OUTSIDE_LOOPS - {"__init__"} <= forbidden


def test_arguments_of_the_trainer():
    assert set(inspect.signature(pl.Trainer.__init__).parameters) - {"self"} <= ARGUMENTS
    assert set(RENAMED_ARGUMENTS.values()) <= ARGUMENTS


@pytest.mark.parametrize("method", sorted(RENAMED))
def test_arguments_of_fit(method):
    parameters = set(inspect.signature(getattr(pl.Trainer, method)).parameters)
    assert set(RENAMED[method].values()) <= parameters and not RENAMED[method].keys() & parameters


@pytest.mark.parametrize("name", sorted(READ_ONLY))
def test_properties_without_setter(name):
    value = inspect.getattr_static(pl.LightningModule, name)
    assert isinstance(value, property) and value.fset is None


@pytest.mark.parametrize("path", sorted(REMOVED_IMPORTS))
def test_what_was_removed_cannot_be_imported(path):
    holder, _, name = f"lightning.pytorch.{path}".rpartition(".")
    try:
        module = importlib.import_module(holder)
    except ImportError:
        return  # not even the module that held it is there
    assert not hasattr(module, name)
    with pytest.raises(ImportError):
        importlib.import_module(f"{holder}.{name}")
