"""Promise 5: `convert --target lightning` takes the same steps under Lightning, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from trajectory import QUIET, difference, run

from litify_converter.convert import convert_script
from litify_converter.read import parse

try:
    import lightning.pytorch as lightning
except Exception as error:  # a broken torchvision beside it stops it in more ways than ImportError
    pytest.skip(f"lightning cannot be imported: {error}", allow_module_level=True)

FOLDER = Path(__file__).parent / "cases"
# What the two Trainers do in different ways: loaders made in the epoch, evaluation, hooks after a step.
SCRIPTS = [
    FOLDER / "functions_become_methods.py",
    FOLDER / "zipped_loaders.py",
    FOLDER / "random_epoch_start.py",
    *(
        FOLDER / "same_steps" / f"{name}.py"
        for name in (
            "batches_worked_out_in_the_call",
            "constructor_that_trains",
            "epochs_without_end",
            "evaluation_after_each_step",
            "evaluation_over_several_loaders",
            "first_batch_looked_at",
            "first_epoch_from_a_counter",
            "full_batch_with_evaluation",
            "length_bound_again_after",
            "list_counted_from_one",
            "loader_made_in_epoch",
            "loader_of_a_dictionary_in_the_call",
            "losses_kept_as_numbers",
            "model_used_after_evaluation",
            "network_with_a_step_of_its_own",
            "object_trains_an_epoch",
            "random_start_and_validation",
            "while_in_epoch",
            "zip_and_evaluation_on_training_data",
        )
    ),
]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    made = lightning.Trainer.__init__

    def quiet(self: Any, **options: Any) -> None:
        made(self, **{**options, **QUIET})

    monkeypatch.setattr(lightning.Trainer, "__init__", quiet)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.stem)
def test_same_steps_under_lightning(path: Path) -> None:
    source = path.read_text().partition("# output\n")[0]
    made = convert_script(parse(source, Path("train.py")), target="lightning").text
    assert difference(run(source), run(made)) is None
