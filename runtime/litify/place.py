"""Where a training runs: accelerator, devices, precision and strategy, from the Trainer's arguments."""

from __future__ import annotations

import sys
from multiprocessing import get_all_start_methods
from typing import Any

from litify import accelerators, precision, strategies
from litify.accelerators.base import Accelerator
from litify.errors import MisconfigurationException
from litify.plugins.checkpoint_io import CheckpointIO
from litify.plugins.environments import ClusterEnvironment, started
from litify.precision.base import Precision
from litify.strategies.base import Strategy


def choose(given: dict[str, Any]) -> Strategy:
    """The strategy, connected to its devices, precision and plugins. Starts nothing.

    Raises:
        MisconfigurationException: arguments that do not go together.
    """
    asked = given["strategy"]
    own = asked if isinstance(asked, Strategy) else None
    plugins = _plugins(given["plugins"])
    accelerator = (own and own.own_accelerator) or _accelerator(given["accelerator"], asked)
    number, num_nodes = _world(given)
    devices = getattr(own, "own_devices", None) or accelerator.select(number)
    strategy = own or strategies.make(_name(asked, accelerator, len(devices), num_nodes))
    if strategy.name == "single_device" and len(devices) > 1:
        if own is None:
            raise MisconfigurationException(
                f"Trainer(strategy='single_device', devices={given['devices']!r}): one device is all it takes; pass devices=1 or strategy='ddp'."
            )
        devices = devices[:1]
    _check_fit(strategy, accelerator)
    if "checkpoint_io" in plugins:
        strategy.checkpoint_io = plugins["checkpoint_io"]
    if "environment" in plugins:
        strategy._environment = plugins["environment"]  # type: ignore[attr-defined]
    if len(devices) * num_nodes > 1 and not getattr(
        plugins.get("environment"), "creates_processes_externally", False
    ):
        _check_session(strategy)
    found = plugins.get("precision")
    if found is not None and given["precision"] is not None:
        raise MisconfigurationException(
            "Pass precision either as Trainer(precision=...) or as a plugin, not both."
        )
    found = found or strategy.own_precision or precision.make(given["precision"], accelerator.device_type)
    strategy.connect(accelerator, found, devices, num_nodes)
    if given["sync_batchnorm"] and hasattr(strategy, "sync_batchnorm"):
        strategy.sync_batchnorm = True
    return strategy


# strategy -> types of devices for which it cannot work, and what does
MISFITS = {
    "xla": (("cpu", "cuda", "mps"), "it drives TPU cores; pass accelerator='tpu'"),
    "single_device": (("xla",), "TPU cores are driven by strategy='xla'"),
    "ddp": (
        ("mps", "xla"),
        "a Mac has one GPU, and TPU cores are driven by strategy='xla'; pass strategy='auto'",
    ),
    "fsdp": (
        ("mps", "xla"),
        "a Mac has one GPU, and TPU cores are driven by strategy='xla'; pass strategy='auto'",
    ),
}


def _check_fit(strategy: Strategy, accelerator: Accelerator) -> None:
    """Refuse a strategy that cannot work here, before any process starts.

    Raises:
        MisconfigurationException: what it does not go with, and what does.
    """
    types, advice = MISFITS.get(strategy.name, ((), ""))
    if accelerator.device_type in types:
        raise MisconfigurationException(
            f"Trainer(strategy={strategy.name!r}) does not go with accelerator={accelerator.name!r}: {advice}."
        )
    if strategy.start_method not in ("popen", *get_all_start_methods()):
        raise MisconfigurationException(
            f"Processes cannot be made by {strategy.start_method} on this system: pass strategy='ddp', in a script."
        )


def _is_session() -> bool:
    """A notebook or a prompt: there is no script that could be started again for each device."""
    return hasattr(sys, "ps1") and started() is None


def _check_session(strategy: Strategy) -> None:
    """Refuse in a notebook what needs a script.

    Raises:
        MisconfigurationException: the strategy starts processes otherwise than by fork.
    """
    if _is_session() and strategy.name in ("ddp", "fsdp") and strategy.start_method != "fork":
        raise MisconfigurationException(
            f"Trainer(strategy={strategy.name!r}) starts processes from a script, and this is a notebook or a prompt: pass "
            "strategy='ddp_notebook' and use no GPU before fit, or save the code as a file and use `litify run FILE`."
        )


def _accelerator(asked: Any, strategy: Any) -> Accelerator:
    if isinstance(asked, Accelerator):
        return asked
    if asked in (None, "auto"):
        asked = "tpu" if strategy == "xla" else "auto"
    return accelerators.make(str(asked).lower())


def _plugins(given: Any) -> dict[str, Any]:
    """Trainer(plugins=...) by what each is.

    Raises:
        MisconfigurationException: two of a kind, or something else.
    """
    kinds = {"precision": Precision, "checkpoint_io": CheckpointIO, "environment": ClusterEnvironment}
    found: dict[str, Any] = {}
    for plugin in given if isinstance(given, (list, tuple)) else [given]:
        if plugin is None:
            continue
        if isinstance(plugin, str):
            plugin = precision.make(plugin, "cpu")
        kind = next((kind for kind, base in kinds.items() if isinstance(plugin, base)), None)
        if kind is None:
            raise MisconfigurationException(
                f"Trainer(plugins=...) got a {type(plugin).__name__}; it takes a Precision, a CheckpointIO or a ClusterEnvironment."
            )
        if kind in found:
            raise MisconfigurationException(
                f"Trainer(plugins=...) has two of {kinds[kind].__name__}; pass one."
            )
        found[kind] = plugin
    return found


def _world(given: dict[str, Any]) -> tuple[Any, int]:
    """Devices and nodes; under a launcher that started several processes, what it started, unless said otherwise."""
    devices, num_nodes = given["devices"], given["num_nodes"]
    if not isinstance(num_nodes, int) or num_nodes < 1:
        raise MisconfigurationException(
            f"Trainer(num_nodes={num_nodes!r}): pass a number of machines, 1 or more."
        )
    there = started() if devices == "auto" else None
    if there is not None and there[1] > 1:
        local, world = there
        return local, max(num_nodes, world // local)
    return devices, num_nodes


def _name(asked: Any, accelerator: Accelerator, devices: int, num_nodes: int) -> str:
    if asked not in (None, "auto"):
        return str(asked).lower()
    if accelerator.device_type == "xla":
        return "xla"
    if devices * num_nodes == 1:
        return "single_device"
    return "ddp_notebook" if _is_session() and "fork" in get_all_start_methods() else "ddp"
