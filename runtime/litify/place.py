"""Where a training runs: accelerator, devices, precision and strategy, from the Trainer's arguments."""

from __future__ import annotations

import os
from typing import Any

from litify import accelerators, precision, strategies
from litify.accelerators.base import Accelerator
from litify.errors import MisconfigurationException
from litify.precision.base import Precision
from litify.strategies.base import Strategy


def choose(given: dict[str, Any]) -> Strategy:
    """The strategy, connected to its devices and precision; other processes are started if it needs them.

    Raises:
        MisconfigurationException: arguments that do not go together.
    """
    asked = given["strategy"]
    accelerator = given["accelerator"]
    if accelerator in (None, "auto") and asked == "xla":
        accelerator = "tpu"
    if not isinstance(accelerator, Accelerator):
        accelerator = accelerators.make("auto" if accelerator is None else str(accelerator).lower())
    number, num_nodes = _world(given)
    devices = accelerator.select(number)
    strategy = (
        asked
        if isinstance(asked, Strategy)
        else strategies.make(_name(asked, accelerator, len(devices), num_nodes))
    )
    if strategy.name == "single_device" and len(devices) > 1:
        raise MisconfigurationException(
            f"Trainer(strategy='single_device', devices={given['devices']!r}): one device is all it takes; pass devices=1 or strategy='ddp'."
        )
    strategy.connect(accelerator, _precision(given, accelerator), devices, num_nodes)
    if given["sync_batchnorm"] and hasattr(strategy, "sync_batchnorm"):
        strategy.sync_batchnorm = True
    if strategy.process_per_device and len(devices) * num_nodes > 1:
        from litify.launch import ensure_launched  # starts processes; most trainings need none

        ensure_launched(len(devices), num_nodes)
    return strategy


def _world(given: dict[str, Any]) -> tuple[Any, int]:
    """Devices and nodes; under a launcher that started several processes, what it started, unless said otherwise."""
    devices, num_nodes = given["devices"], given["num_nodes"]
    if not isinstance(num_nodes, int) or num_nodes < 1:
        raise MisconfigurationException(
            f"Trainer(num_nodes={num_nodes!r}): pass a number of machines, 1 or more."
        )
    local, world = os.environ.get("LOCAL_WORLD_SIZE", ""), os.environ.get("WORLD_SIZE", "")
    if devices == "auto" and local.isdigit() and world.isdigit() and int(world) > 1:
        return int(local), max(num_nodes, int(world) // int(local))
    return devices, num_nodes


def _name(asked: Any, accelerator: Accelerator, devices: int, num_nodes: int) -> str:
    if asked not in (None, "auto"):
        return str(asked).lower()
    if accelerator.device_type == "xla":
        return "xla"
    return "ddp" if devices * num_nodes > 1 else "single_device"


def _precision(given: dict[str, Any], accelerator: Accelerator) -> Precision:
    plugins = given["plugins"] if isinstance(given["plugins"], (list, tuple)) else [given["plugins"]]
    own = [plugin for plugin in plugins if isinstance(plugin, Precision)]
    other = [plugin for plugin in plugins if plugin is not None and not isinstance(plugin, Precision)]
    if other:
        raise MisconfigurationException(f"Trainer(plugins={other}): only Precision objects are taken here.")
    if own and given["precision"] is not None:
        raise MisconfigurationException(
            "Pass precision either as Trainer(precision=...) or as a plugin, not both."
        )
    return own[0] if own else precision.make(given["precision"], accelerator.device_type)
