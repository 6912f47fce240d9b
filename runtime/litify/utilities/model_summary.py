"""The layers of a module as a table: names, types, parameters, FLOPs, and the shapes that go in and out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from litify.rank_zero import warn
from litify.transfer import to_device

if TYPE_CHECKING:
    from litify.module import LightningModule

UNKNOWN_SIZE = "?"
LEFTOVER_PARAMS_NAME = "other params"
NOT_APPLICABLE = "n/a"
BYTES = {"64": 8, "64-true": 8, "32": 4, "32-true": 4, "16": 2, "16-true": 2, "bf16": 2, "bf16-true": 2}

Columns = list[tuple[str, list[str]]]


def get_human_readable_count(number: int) -> str:
    """A number with one digit after the point and a unit, padded: "1.2 K", "123  ".

    Beyond trillions the number itself grows: "5,000 T".
    """
    value, units = float(number), ["", "K", "M", "B", "T"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    whole = units[0] == "" or value >= 100
    return f"{int(value):,d} {units[0] or ' '}" if whole else f"{value:,.1f} {units[0]}"


def get_formatted_model_size(total_model_size: float) -> str:
    """Megabytes with three digits after the point."""
    return f"{total_model_size:,.3f}"


def parse_batch_shape(batch: Any) -> Any:
    """The shape as a list; of a list of tensors, a list of shapes; "?" of anything else."""
    if hasattr(batch, "shape"):
        return list(batch.shape)
    if isinstance(batch, (list, tuple)):
        return [parse_batch_shape(item) for item in batch]
    return UNKNOWN_SIZE


class LayerSummary:
    """What is known of one layer. Shapes are those of its first forward while the summary is made.

    Args:
        module: the layer.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._in_size: Any = None
        self._out_size: Any = None
        scripted = isinstance(module, torch.jit.ScriptModule)  # takes no hooks
        self._hook_handle = None if scripted else module.register_forward_hook(self._note, with_kwargs=True)

    def _note(self, module: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
        given = (*args, *kwargs.values())
        self._in_size = parse_batch_shape(given[0] if len(given) == 1 else given)
        self._out_size = parse_batch_shape(out)
        self.detach_hook()

    def detach_hook(self) -> None:
        if self._hook_handle is not None:
            self._hook_handle.remove()

    @property
    def in_size(self) -> Any:
        return self._in_size or UNKNOWN_SIZE

    @property
    def out_size(self) -> Any:
        return self._out_size or UNKNOWN_SIZE

    @property
    def layer_type(self) -> str:
        return type(self._module).__name__

    @property
    def num_parameters(self) -> int:
        return sum(_sizes(self._module))

    @property
    def training(self) -> bool:
        return self._module.training


class ModelSummary:
    """The layers of a module, down to some depth. Printed, it is a table.

    Shapes and FLOPs are known where the module has an `example_input_array`, which is passed through it.

    Args:
        model: the module.
        max_depth: how deep nested layers are shown; -1 is all, 0 none.

    Raises:
        ValueError: another depth.
    """

    def __init__(self, model: LightningModule, max_depth: int = 1) -> None:
        if not isinstance(max_depth, int) or max_depth < -1:
            raise ValueError(f"ModelSummary(max_depth={max_depth!r}): pass -1 for all layers, or 0 or more.")
        self._model, self._max_depth = model, max_depth
        self._flop_counter = FlopCounterMode(display=False, depth=max_depth + 1)
        self._layer_summary = self.summarize()
        precision = model._trainer.precision if model._trainer is not None else "32-true"
        if precision not in BYTES:
            warn(
                f"The model summary takes 4 bytes per parameter, as it does not know those of precision {precision}."
            )
        self._megabytes = BYTES.get(precision, 4) * 1e-6

    def summarize(self) -> dict[str, LayerSummary]:
        """By name, the layers, shapes included."""
        layers = {name: LayerSummary(module) for name, module in self.named_modules}
        if self._model.example_input_array is not None:
            self._forward_example_input()
        for layer in layers.values():
            layer.detach_hook()
        deepest = self._max_depth if self._max_depth >= 1 else float("inf")
        return {name: layer for name, layer in layers.items() if name.count(".") < deepest}

    def _forward_example_input(self) -> None:
        model = self._model
        batch = to_device(model.example_input_array, model.device)
        modes = [(module, module.training) for module in model.modules()]
        precision = (
            nullcontext() if model._trainer is None else model._trainer.precision_plugin.forward_context()
        )
        model.eval()
        with torch.no_grad(), precision, self._flop_counter:
            if isinstance(batch, dict):
                model(**batch)
            else:
                model(*batch) if isinstance(batch, (list, tuple)) else model(batch)
        for module, training in modes:
            module.training = training

    @property
    def named_modules(self) -> list[tuple[str, nn.Module]]:
        if self._max_depth == 0:
            return []
        return list(self._model.named_children() if self._max_depth == 1 else self._model.named_modules())[
            self._max_depth != 1 :
        ]  # without the module itself

    @property
    def layer_names(self) -> list[str]:
        return list(self._layer_summary)

    @property
    def layer_types(self) -> list[str]:
        return [layer.layer_type for layer in self._layer_summary.values()]

    @property
    def in_sizes(self) -> list[Any]:
        return [layer.in_size for layer in self._layer_summary.values()]

    @property
    def out_sizes(self) -> list[Any]:
        return [layer.out_size for layer in self._layer_summary.values()]

    @property
    def param_nums(self) -> list[int]:
        return [layer.num_parameters for layer in self._layer_summary.values()]

    @property
    def training_modes(self) -> list[bool]:
        return [layer.training for layer in self._layer_summary.values()]

    @property
    def total_training_modes(self) -> dict[str, int]:
        """Number of modules in train and in eval mode, at any depth."""
        modes = [module.training for module in self._model.modules()][1:]
        return {"train": modes.count(True), "eval": modes.count(False)}

    @property
    def total_parameters(self) -> int:
        return sum(_sizes(self._model))

    @property
    def trainable_parameters(self) -> int:
        return sum(_sizes(self._model, trained=True))

    @property
    def total_layer_params(self) -> int:
        return sum(self.param_nums)

    @property
    def model_size(self) -> float:
        """Megabytes of all parameters, in the Trainer's precision."""
        return self.total_parameters * self._megabytes

    @property
    def total_flops(self) -> int:
        """Floating point operations of a forward of the example input; 0 without one."""
        return int(self._flop_counter.get_total_flops())

    @property
    def flop_counts(self) -> dict[str, dict[Any, int]]:
        """By layer, the operations and how much each took."""
        counts, root = self._flop_counter.get_flop_counts(), type(self._model).__name__
        return {name: counts.get(f"{root}.{name}", {}) for name in self.layer_names}

    def _get_summary_data(self) -> Columns:
        """The table by columns: title, cells."""
        flops = [sum(count.values()) for count in self.flop_counts.values()]
        columns: Columns = [
            (" ", [str(index) for index in range(len(self.layer_names))]),
            ("Name", self.layer_names),
            ("Type", self.layer_types),
            ("Params", [get_human_readable_count(number) for number in self.param_nums]),
            ("Mode", ["train" if training else "eval" for training in self.training_modes]),
            ("FLOPs", [get_human_readable_count(number) for number in flops]),
        ]
        if self._model.example_input_array is not None:
            columns.append(("In sizes", [str(size) for size in self.in_sizes]))
            columns.append(("Out sizes", [str(size) for size in self.out_sizes]))
        left = self.total_parameters - self.total_layer_params
        if left > 0:
            cells = {" ": " ", "Name": LEFTOVER_PARAMS_NAME, "Params": get_human_readable_count(left)}
            for title, column in columns:
                column.append(cells.get(title, NOT_APPLICABLE))
        return columns

    def __str__(self) -> str:
        totals = (self.total_parameters, self.trainable_parameters, self.model_size)
        return format_table(self._get_summary_data(), *totals, self.total_training_modes, self.total_flops)

    def __repr__(self) -> str:
        return str(self)


def totals(
    parameters: int, trained: int, megabytes: float, modes: dict[str, int], flops: int
) -> list[tuple[str, str]]:
    """What stands below the table: figure, name."""
    return [
        (get_human_readable_count(trained), "Trainable params"),
        (get_human_readable_count(parameters - trained), "Non-trainable params"),
        (get_human_readable_count(parameters), "Total params"),
        (get_formatted_model_size(megabytes), "Total estimated model params size (MB)"),
        (str(modes["train"]), "Modules in train mode"),
        (str(modes["eval"]), "Modules in eval mode"),
        (get_human_readable_count(flops), "Total FLOPs"),
    ]


def format_table(
    columns: Columns, parameters: int, trained: int, megabytes: float, modes: dict[str, int], flops: int
) -> str:
    """Columns and totals as text."""
    widths = [max(map(len, [title, *cells])) for title, cells in columns]
    rows = [[title for title, _ in columns], *zip(*(cells for _, cells in columns), strict=True)]
    lines = [
        " | ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    rule = "-" * max(map(len, lines))
    below = [f"{figure:<10}{name}" for figure, name in totals(parameters, trained, megabytes, modes, flops)]
    return "\n".join([lines[0], rule, *lines[1:], rule, *below])


def summarize(lightning_module: LightningModule, max_depth: int = 1) -> ModelSummary:
    """The layers of a module. Arguments as of `ModelSummary`."""
    return ModelSummary(lightning_module, max_depth)


def _sizes(module: nn.Module, trained: bool = False) -> Iterator[int]:
    """Elements of each parameter; those of lazy layers, not known yet, are left out, with a warning where all are asked for."""
    for parameter in module.parameters():
        if isinstance(parameter, nn.UninitializedParameter):
            if not trained:
                warn("Lazy layers have no parameters before their first input: counts are too low.")
        elif parameter.requires_grad or not trained:
            yield parameter.numel()
