"""The tables about Lightning agree with the installed Lightning."""

from __future__ import annotations

import inspect

import pytest

from litify_linter.reading.lightning import HOOK_ARGUMENTS
from litify_linter.rules.misplaced_log import OUTSIDE_LOOPS
from litify_linter.rules.removed_hook import REMOVED as REMOVED_HOOKS
from litify_linter.rules.removed_trainer_argument import REMOVED as REMOVED_ARGUMENTS

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


def test_hooks_that_take_no_log():
    from lightning.pytorch.trainer.connectors.logger_connector.fx_validator import _FxValidator

    forbidden = {name for name, options in _FxValidator.functions.items() if options is None}
    assert OUTSIDE_LOOPS - {"__init__"} <= forbidden
