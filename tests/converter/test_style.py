"""Promise 3: where it can be proven, what comes out is what an expert would have written; near misses stand beside."""

from __future__ import annotations

from pathlib import Path

import pytest

from litify_converter.convert import Conversion, convert_script
from litify_converter.read import parse

CASES = Path(__file__).parent / "cases" / "same_steps"


def case(name: str) -> str:
    return (CASES / f"{name}.py").read_text()


def conversion(text: str, target: str = "litify") -> Conversion:
    return convert_script(parse(text, Path("train.py")), target)


@pytest.mark.parametrize(
    ("name", "hooks"),
    [
        ("evaluation_after_each_step", {"on_train_batch_end"}),
        ("evaluation_over_several_loaders", {"validation_step", "on_validation_epoch_end"}),
        ("full_batch_with_evaluation", {"validation_step"}),
        ("model_used_after_evaluation", {"validation_step"}),
        ("del_loss", set()),
        ("processes_if_asked_for", set()),
    ],
)
def test_automatic_optimization_with_hooks(name: str, hooks: set[str]) -> None:
    made = conversion(case(name))
    assert made.plan.automatic
    assert hooks <= set(made.plan.hooks)


def test_evaluation_called_in_another_way_too_is_not_taken_apart() -> None:
    text = case("evaluation_over_several_loaders") + "\nprint(test(test_loader))\n"
    assert "validation_step" not in conversion(text).plan.hooks


def test_full_batch_evaluation_in_training_mode_stays_where_it_is() -> None:
    text = case("full_batch_with_evaluation").replace("    net.eval()\n", "")
    assert "validation_step" not in conversion(text).plan.hooks


def test_evaluation_that_computes_gradients_stays_where_it_is() -> None:
    text = case("full_batch_with_evaluation").replace(
        "    out = net(x)\n", "    out = net(x)\n    net[0].weight.grad\n"
    )
    assert "validation_step" not in conversion(text).plan.hooks


def test_numbers_are_taken_at_the_end_of_the_epoch() -> None:
    text = conversion(case("losses_kept_as_numbers")).text
    assert "self.losses.append(loss.detach())" in text
    assert "self.losses[:] = map(float, self.losses)" in text
    assert ".item()" not in text


def test_a_number_that_the_step_reads_is_taken_there() -> None:
    text = case("losses_kept_as_numbers").replace(
        "        last = loss.item()\n", "        last = loss.item()\n        print(last)\n"
    )
    assert "self.last = loss.item()" in conversion(text).text


def test_data_parallel_goes_with_all_that_asked_for_it() -> None:
    text = conversion(case("data_parallel_wrapper")).text
    for word in ("DataParallel", ".module", "set_device", "device_count", "isinstance"):
        assert word not in text


def test_a_part_of_the_network_called_module_is_no_wrapper() -> None:
    """`self.module` is the network's own: what `.module` means elsewhere can't be told, nothing is unwrapped there."""
    text = case("data_parallel_wrapper").replace(
        "net = nn.Linear(4, 3)\n", "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.module = nn.Linear(4, 3)\n\n    def forward(self, x):\n        return self.module(x)\n\n\nnet = Net()\n", 1
    )  # fmt: skip
    assert "net.module.state_dict()" in conversion(text).text


def test_options_that_only_spoke_of_processes_go() -> None:
    text = conversion(case("processes_if_asked_for")).text
    for word in ("world-size", "dist-url", "multiprocessing", "several processes", "init_process_group"):
        assert word not in text
    assert "if self.trainer.is_global_zero:\n            save_checkpoint" in text


def test_processes_that_are_started_by_default_are_no_option() -> None:
    text = case("processes_if_asked_for").replace(
        '"--multiprocessing-distributed", action="store_true"',
        '"--multiprocessing-distributed", default=True',
    )
    assert "init_process_group" in conversion(text).text


def test_training_mode_is_not_switched_on_where_nothing_switches_it_off() -> None:
    assert ".train()" not in conversion(case("losses_kept_as_numbers")).text


def test_training_mode_stays_for_a_network_that_comes_from_elsewhere() -> None:
    text = case("losses_kept_as_numbers").replace(
        "net = nn.Linear(4, 3)\n", 'net = nn.Linear(4, 3)\nnet = torch.load("net.pt")\n'
    )
    assert ".train()" in conversion(text).text


class TestLightning:
    """Lightning asks a loader that it reloads for its iterator twice."""

    def test_loader_made_in_the_epoch_begins_late(self) -> None:
        text = conversion(case("loader_made_in_epoch"), "lightning").text
        assert "return BegunLate(" in text
        assert "reload_dataloaders_every_n_epochs=1" in text
        assert "BegunLate" not in conversion(case("loader_made_in_epoch")).text

    def test_generators_are_made_anew_by_an_iterable(self) -> None:
        text = case("loader_made_in_epoch").replace(
            "    for perm in d:\n", "    for perm in map(torch.clone, loader):\n"
        ).replace("\n\ndef train_epoch", '\nloader = DataLoader(range(48), 16, shuffle=True)\n\n\ndef train_epoch')  # fmt: skip
        made = conversion(text, "lightning").text
        assert "return EachEpoch(lambda: map(torch.clone, " in made
        assert "reload_dataloaders" not in made

    def test_zipped_loaders_are_a_combined_loader(self) -> None:
        source = (CASES.parent / "zipped_loaders.py").read_text().partition("# output\n")[0]
        text = conversion(source, "lightning").text
        assert "from lightning.pytorch.utilities import CombinedLoader" in text
        assert "from litify import CombinedLoader" in conversion(source).text
