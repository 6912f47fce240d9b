"""A GPU that computes on the CPU and minds, as CUDA does, where each tensor is.

    python tests/fake_gpu.py SCRIPT [ARGUMENTS ...]

runs a script that finds one GPU: `torch.cuda.is_available()` is true, `.cuda()` and `.to("cuda")` make copies, tensors say
`cuda:0`, and what mixes devices fails with CUDA's words. A tensor's device is a mark on its Python object, kept by a
`TorchFunctionMode` that sees every call of torch from Python. What it can't show: speed, streams, several GPUs, other rounding.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")
MARK = "_fake_gpu"

# Copies between devices, and the few calls that take some tensors from the CPU.
BETWEEN = {"copy_", "__setitem__", "_pack_padded_sequence", "type_as"}
BETWEEN |= {
    "_has_compatible_shallow_copy_type",
    "is_same_size",
    "__deepcopy__",
    "_foreach_copy_",
    "load_state_dict",
    "backward",
    "clip_grad_norm_",
}
RECURRENT = {"lstm", "gru", "rnn_tanh", "rnn_relu"}  # the sizes of a packed batch are on the CPU
HOST_ONLY = {"numpy", "__array__", "from_numpy"}


def is_on_gpu(tensor: torch.Tensor) -> bool:
    return getattr(tensor, MARK, False)


def marked(value: Any, on_gpu: bool) -> Any:
    """The value, with every tensor in it saying where it is."""
    if isinstance(value, torch.Tensor):
        setattr(value, MARK, on_gpu)
    elif isinstance(value, tuple | list):
        for each in value:
            marked(each, on_gpu)
    return value


def tensors(values: Iterable[Any]) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from tensors(value)


def named(value: Any) -> bool | None:
    """Whether a device was named, and whether it is the GPU: None, False, True."""
    if isinstance(value, str) and value.split(":")[0] in ("cpu", "cuda"):
        return value.startswith("cuda")
    if isinstance(value, torch.device):
        return value.type == "cuda"
    return None


class TensorType:
    """`torch.cuda.FloatTensor`: makes tensors, and is what `.type()` is given."""

    def __init__(self, on_cpu: Any) -> None:
        self.on_cpu = on_cpu
        self.dtype = on_cpu.dtype

    def __call__(self, *args: Any) -> torch.Tensor:
        made: torch.Tensor = marked(self.on_cpu(*args), True)
        return made


class FakeGpu(TorchFunctionMode):
    """Every call of torch while it is entered: marks results, refuses mixtures."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name in ("__get__", "__set__"):
            return self._attribute(func, args)
        if name in ("to", "cuda", "cpu", "type"):
            return self._moved(func, name, args, kwargs)
        inputs = list(tensors([*args, *kwargs.values()]))
        device = named(kwargs.get("device"))
        if device is None and name in ("device", "set_default_device", "_set_default_device"):
            return func(*args, **kwargs)
        if device is not None:
            kwargs["device"] = CPU
        if name in HOST_ONLY and any(is_on_gpu(t) for t in inputs):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")
        if name == "pin_memory":
            return args[0]
        if name in ("tolist", "item", "is_pinned", "__repr__", "__format__", "requires_grad_"):
            return func(*args, **kwargs)
        if name == "get_device":
            return 0 if is_on_gpu(args[0]) else -1
        self._check(name, args, inputs)
        before = {id(t) for t in inputs}
        result = func(*args, **kwargs)
        if name == "_pack_padded_sequence":  # the sizes stay on the CPU
            return (marked(result[0], is_on_gpu(args[0])), marked(result[1], False))
        if name == "type_as":
            return marked(result, is_on_gpu(args[1]))
        on_gpu = device if device is not None else any(is_on_gpu(t) for t in inputs)
        if name in ("copy_", "__setitem__", "__getitem__"):
            on_gpu = is_on_gpu(args[0])
        for each in tensors([result]):
            if id(each) not in before:
                setattr(each, MARK, on_gpu)
        return result

    def _check(self, name: str, args: Any, inputs: list[torch.Tensor]) -> None:
        if name in BETWEEN:
            if name == "_pack_padded_sequence" and is_on_gpu(args[1]):
                raise RuntimeError(
                    "'lengths' argument should be a 1D CPU int64 tensor, but got 1D cuda:0 Long tensor"
                )
            return
        if name == "__getitem__" and is_on_gpu(args[0]):
            return  # indices may be on the CPU
        if name in RECURRENT:
            inputs = [t for t in inputs if t.is_floating_point()]
        there = {is_on_gpu(t) for t in inputs if t.dim() > 0}
        scalars = {is_on_gpu(t) for t in inputs if t.dim() == 0}
        if len(there) == 2 or (there == {False} and True in scalars and len(inputs) > 1):
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"
                f" (in {name}, {[(tuple(t.shape), is_on_gpu(t)) for t in inputs]})"
            )

    def _attribute(self, func: Any, args: Any) -> Any:
        what = "data" if func.__self__ is torch.Tensor.data else getattr(func.__self__, "__name__", "")
        owner = args[0]
        if func.__name__ == "__set__":
            if what == "grad" and args[1] is not None and is_on_gpu(args[1]) != is_on_gpu(owner):
                raise RuntimeError("assigned grad has data located on a different device")
            func(*args)
            if what == "data":
                marked(owner, is_on_gpu(args[1]))
            return None
        if what == "device":
            return GPU if is_on_gpu(owner) else CPU
        if what == "is_cuda":
            return is_on_gpu(owner)
        if what == "is_cpu":
            return not is_on_gpu(owner)
        value = func(*args)
        return marked(value, is_on_gpu(owner)) if isinstance(value, torch.Tensor) else value

    def _moved(self, func: Any, name: str, args: Any, kwargs: dict[str, Any]) -> Any:
        """`.to()`, `.cuda()`, `.cpu()` and `.type()`: a copy where the device changes, else what torch does."""
        owner, rest = args[0], list(args[1:])
        target: bool | None = {"cuda": True, "cpu": False}.get(name)
        if name in ("cuda", "cpu"):
            rest, kwargs = [], {}
        if name == "type":
            if not rest and not kwargs:
                kind = func(owner)
                return kind.replace("torch.", "torch.cuda.") if is_on_gpu(owner) else kind
            if rest and isinstance(rest[0], TensorType):
                target, rest = True, [rest[0].dtype]
            elif rest and isinstance(rest[0], type):
                target, rest = False, [rest[0].dtype]
            elif isinstance(rest[0], str) and rest[0].startswith("torch."):
                target = rest[0].startswith("torch.cuda.")
                rest[0] = rest[0].replace("torch.cuda.", "torch.")
        if name == "to":
            if "device" in kwargs:
                target = named(kwargs.pop("device"))
            elif rest and (isinstance(rest[0], int) and not isinstance(rest[0], bool)):
                target, rest = True, rest[1:]
            elif rest and isinstance(rest[0], torch.Tensor):
                target = is_on_gpu(rest[0])
            elif rest and named(rest[0]) is not None:
                target, rest = named(rest[0]), rest[1:]
        kinds = [v for v in [*rest, kwargs.get("dtype")] if isinstance(v, torch.dtype | str)]
        if name == "to" and rest and isinstance(rest[0], torch.Tensor):
            kinds = [rest[0].dtype]
        result = func(owner, *kinds[:1]) if kinds else owner
        if target is None:
            target = is_on_gpu(owner)
        if target != is_on_gpu(owner) and result is owner:
            result = owner.clone()
        return result if result is owner else marked(result, target)


def install() -> None:
    """From now on this process finds one GPU."""
    cuda = torch.cuda
    for name in (
        "set_device",
        "synchronize",
        "empty_cache",
        "manual_seed",
        "manual_seed_all",
        "init",
        "ipc_collect",
    ):
        setattr(cuda, name, lambda *args, **kwargs: None)
    for name in (
        "memory_allocated",
        "max_memory_allocated",
        "memory_reserved",
        "max_memory_reserved",
        "current_device",
    ):
        setattr(cuda, name, lambda *args, **kwargs: 0)
    cuda.is_available = lambda: True
    cuda.is_initialized = lambda: True
    cuda.device_count = lambda: 1
    cuda.get_device_name = lambda *args: "a GPU that is none"
    cuda.get_device_capability = lambda *args: (8, 0)
    cuda.get_device_properties = lambda *args: SimpleNamespace(
        name="a GPU that is none", total_memory=1 << 34, major=8, minor=0
    )
    cuda.memory_stats = lambda *args: {}
    cuda.reset_peak_memory_stats = lambda *args: None
    cuda.is_bf16_supported = lambda *args, **kwargs: True
    cuda.device = lambda *args: nullcontext()
    cuda.stream = lambda *args: nullcontext()
    torch.accelerator.is_available = lambda: True
    torch.accelerator.device_count = lambda: 1
    torch.accelerator.current_accelerator = lambda *args, **kwargs: torch.device("cuda")
    torch.accelerator.current_stream = lambda *args: SimpleNamespace(is_capturing=lambda: False)
    torch.accelerator.current_device_index = lambda: 0
    torch.accelerator.set_device_index = torch.accelerator.synchronize = lambda *args: None
    states = torch.zeros(16, dtype=torch.uint8)
    cuda.get_rng_state_all = lambda: [states]
    cuda.get_rng_state = lambda *args: states
    cuda.set_rng_state_all = cuda.set_rng_state = lambda *args: None
    for kind in ("Float", "Double", "Half", "Long", "Int", "Byte", "Short", "Bool"):
        make = getattr(torch, kind + "Tensor")
        setattr(cuda, kind + "Tensor", TensorType(make))
    parameter_new, load = torch.nn.Parameter.__new__, torch.load

    def new(cls: Any, data: Any = None, requires_grad: bool = True) -> Any:
        made = parameter_new(cls, data, requires_grad)
        return marked(made, data is not None and is_on_gpu(data))

    def loaded(*args: Any, map_location: Any = None, **kwargs: Any) -> Any:
        on_gpu = named(map_location)
        value = load(*args, map_location=None if callable(map_location) else "cpu", **kwargs)
        return _mark_all(value) if on_gpu else value

    variable = torch.autograd.Variable
    torch.autograd.Variable = lambda data, **kwargs: marked(variable(data, **kwargs), is_on_gpu(data))  # type: ignore
    torch.nn.Parameter.__new__ = new  # type: ignore[method-assign, assignment]
    torch.load = loaded
    FakeGpu().__enter__()


def _mark_all(value: Any) -> Any:
    """A loaded object with all its tensors on the GPU."""
    if isinstance(value, dict):
        for each in value.values():
            _mark_all(each)
    elif isinstance(value, torch.nn.Module):
        value.cuda()
    else:
        marked(value, True)
    return value


def main() -> None:
    install()
    sys.argv = sys.argv[1:]
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
