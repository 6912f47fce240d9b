"""What would run where: the flags of `litify run` checked against this machine, before any process starts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from litify import launch
from litify.discover import Script, ScriptError
from litify.errors import MisconfigurationException

DEVICE_FLAGS = ("gpus", "devices", "tpu_cores", "num_processes", "accelerator")
# accelerator -> those it may stand for, and what a person calls them
HARDWARE = {
    "gpu": (("cuda", "mps"), "GPU(s) that torch can use"),
    "cuda": (("cuda",), "CUDA GPU(s) that torch can use"),
    "mps": (("mps",), "Apple GPU(s) that torch can use"),
    "tpu": (("tpu",), "TPU core(s) that torch_xla can use; take all of them, or 1"),
}
# The Trainer's arguments that say where and how it runs, with their defaults.
PLACE: dict[str, Any] = {
    "accelerator": "auto", "devices": "auto", "num_nodes": 1, "strategy": "auto", "precision": None, "plugins": None,
    "sync_batchnorm": False,
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What the flags decide. None: the script's Trainer decides it."""

    devices: Sequence[Any] | None
    """The torch devices of this node."""
    strategy: str | None
    precision: str | None
    starts_processes: bool
    """Whether each device gets a process, which runs the script from its beginning."""


def make(given: Mapping[str, Any], options: Mapping[str, Any]) -> Plan:
    """The plan that these Trainer arguments make. Touches no device and starts nothing.

    Args:
        given: the Trainer's arguments among the flags.
        options: all flags, as they were spelled.

    Raises:
        LitifyError: no such hardware here, fewer devices than asked for (it says how many there are), torch_xla missing or for
            another torch, a strategy or precision that does not exist or does not fit.
    """
    if not given.keys() & PLACE.keys():
        return Plan(None, None, None, False)
    from litify import place, precision, strategies  # imports torch

    name = given.get("precision")
    full_name = None if name is None else precision.canonical(name)
    if full_name is not None and given.get("accelerator") == "cpu":
        full_name = precision.suited(full_name, "cpu")
    chooses = "devices" in given or "num_nodes" in given
    devices = check_hardware(given, options, chooses)
    if not chooses and given.get("accelerator", "auto") == "auto":  # the script may well have another one
        asked = given.get("strategy", "auto")
        strategy = None if asked == "auto" else strategies.make(asked).name
        return Plan(None, strategy, full_name, False)
    with warnings.catch_warnings():  # the run itself says it, at the script's line
        warnings.simplefilter("ignore")
        chosen = place.choose({**PLACE, **{key: given[key] for key in given.keys() & PLACE.keys()}})
    if not chooses:
        return Plan(None, chosen.name if "strategy" in given else None, full_name, False)
    starts = chosen.process_per_device and chosen.start_method == "popen"
    return Plan(devices, chosen.name, full_name, starts)


def take_device(given: Mapping[str, Any], local_rank: int) -> None:
    """In a process that trains, before the script runs: `.cuda()` in its set-up means the device that the Trainer will take, not the first."""
    if "devices" in given:
        from litify import accelerators

        accelerator = accelerators.make(given.get("accelerator", "auto"))
        devices = accelerator.select(given["devices"])
        if local_rank < len(devices):
            accelerator.setup_device(devices[local_rank])


def check_hardware(
    given: Mapping[str, Any], options: Mapping[str, Any], chooses: bool
) -> Sequence[Any] | None:
    """The devices of this node that the flags choose, all of them there; None where the flags leave them to the script."""
    from litify import accelerators
    from litify.accelerators.xla import torch_xla

    name = given.get("accelerator", "auto")
    if name == "tpu":
        torch_xla()
    try:
        accelerator = accelerators.make(name)
        return accelerator.select(given.get("devices", "auto")) if chooses else None
    except MisconfigurationException as error:
        if name not in HARDWARE:
            raise
        kinds, words = HARDWARE[name]
        count = sum(accelerators.load(kind).device_count() for kind in kinds)
        asked = " ".join(
            f"--{flag.replace('_', '-')} {options[flag]}"
            for flag in DEVICE_FLAGS
            if options[flag] is not None
        )
        raise ScriptError(f"{asked}: this machine has {count} {words}") from error


def describe(
    script: Script,
    arguments: Sequence[str],
    given: Mapping[str, Any],
    cluster: launch.Cluster,
    plan: Plan,
) -> Iterator[str]:
    """The plan as lines, the last ones a line per process of this node."""
    yield f"file       {script.path}, {'as a script' if script.trains_when_run else 'by its classes'}"
    if arguments:
        yield f"arguments  {' '.join(arguments)}"
    for name, value in given.items():
        yield f"flag       {name}={value!r}"
    open_here = "as the script's Trainer says"
    yield f"strategy   {plan.strategy or open_here}"
    yield f"precision  {plan.precision or f'{open_here} (default 32-true)'}"
    if plan.devices is None:
        yield f"processes  {open_here}"
        return
    devices = plan.devices
    if plan.strategy == "xla":
        yield f"processes  1, over {len(devices)} cores (SPMD)"
        return
    yield f"processes  {len(devices) * cluster.num_nodes} on {cluster.num_nodes} node(s)"
    if cluster.num_nodes > 1 and cluster.node_rank is None:
        yield f"meet at    {cluster.rdzv_endpoint}; ranks are given there, {len(devices)} to each node"
    first = (cluster.node_rank or 0) * len(devices)
    for index, device in enumerate(devices):
        yield f"  rank {first + index}  local rank {index}  {device}"
