"""Random items in the place of data sets that are not here: `--synthetic`.

Known are data sets whose items have a shape that their name, or the transform they are given, tells. Their classes are
changed in place, right after the library that has them was imported and before the script's own code sees them;
so subclasses, other import styles and loaders go on working. What an item holds depends on the data set and its index
alone: both scripts get the same, and no random number of theirs is drawn. Downloads are blocked.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import socket
import sys
from collections.abc import Callable, Sequence
from types import ModuleType, TracebackType
from typing import Any

from litify_converter.verify.synthetic import graphs, pictures

Tell = Callable[[str], None]  # gets a data set that was replaced, with its size
Replace = Callable[[ModuleType, int, Tell], None]

_LIBRARIES: dict[str, Replace] = {
    "torchvision.datasets": pictures.replace_classes,
    "torch_geometric.datasets": graphs.replace_classes,
}
_KNOWN = {"torchvision.datasets": pictures.NAMES, "torch_geometric.datasets": graphs.NAMES}


def install(items: int, tell: Tell) -> None:
    """Replace known data sets in this process from now on; each has at most `items` items."""
    sys.meta_path.insert(0, _AfterImport(items, tell))
    sys.addaudithook(_refuse_downloads)


def knows(name: str) -> bool:
    """Whether there is a stand-in for a data set, given its class as `library.datasets.Class`."""
    library, _, kind = name.rpartition(".")
    return kind in _KNOWN.get(library, ())


def source_of(traceback: TracebackType | None) -> str | None:
    """The data set of one of the libraries whose code raised, as `library.datasets.Class`."""
    found = None
    while traceback is not None:
        kind = type(traceback.tb_frame.f_locals.get("self"))
        for base in kind.__mro__:
            library = next(
                (name for name in _LIBRARIES if f"{base.__module__}.".startswith(f"{name}.")), None
            )
            if library is not None:
                found = f"{library}.{base.__name__}"
                break
        traceback = traceback.tb_next
    return found


class _AfterImport(importlib.abc.MetaPathFinder):
    """Has one of the libraries loaded as usual, then its classes replaced."""

    def __init__(self, items: int, tell: Tell) -> None:
        self.items = items
        self.tell = tell
        self.busy = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if self.busy or fullname not in _LIBRARIES:
            return None
        self.busy = True  # the other finders are asked through the same door
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self.busy = False
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            load = loader.exec_module

            def load_and_replace(module: ModuleType) -> None:
                load(module)
                _LIBRARIES[fullname](module, self.items, self.tell)

            loader.exec_module = load_and_replace
        return spec


def _refuse_downloads(event: str, args: tuple[Any, ...]) -> None:
    """Connections within this machine stay possible: process groups and loader workers use them."""
    if event == "socket.getaddrinfo":
        host = args[0]
    elif event == "socket.connect" and isinstance(args[1], tuple):
        host = args[1][0]
    else:
        return
    text = host.decode(errors="replace") if isinstance(host, bytes) else host
    here = ("", "localhost", "::1", "0.0.0.0", "::", socket.gethostname())
    if isinstance(text, str) and text not in here and not text.startswith("127."):
        raise ConnectionError(f"litify verify --synthetic downloads nothing (from {text})")
