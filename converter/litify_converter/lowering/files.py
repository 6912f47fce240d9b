"""The files beside a script, as its imports find them: read, never imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from litify_converter.lowering.base import Text
from litify_linter.reading.scopes import Function, bound, read
from litify_linter.reading.source import UnreadableSource, read_source

LARGEST = 1_000_000  # bytes; longer files are data or generated
HANDED_ON = 5  # packages that hand a name on from one __init__ to the next
Definition = Function | ast.ClassDef


@dataclass(eq=False)
class File:
    """A Python file beside the script.

    Attributes:
        module: the name the script can import it by: "engine", "pkg.engine", ".engine".
        is_package: whether it is the `__init__.py` of `module`.
        tops: top-level name -> the statement that binds it.
    """

    path: Path
    module: str
    is_package: bool
    text: Text
    tree: ast.Module
    tops: dict[str, ast.stmt] = field(default_factory=dict)

    @property
    def package(self) -> str:
        """The package that relative imports in this file start from; "" for a file that is in none."""
        if self.is_package:
            return self.module
        dots = len(self.module) - len(self.module.lstrip("."))
        parent = self.module.rpartition(".")[0]
        return parent if len(parent) >= dots else "." * dots

    def imported_module(self, statement: ast.ImportFrom) -> str | None:
        """The module of a `from` import in this file, by the name that the script can use; None where there is none."""
        if not statement.level:
            return statement.module
        package = self.package
        for _ in range(statement.level - 1):
            package = package + "." if not package.strip(".") and package else package.rpartition(".")[0]
        if not package:
            return None
        return joined(package, statement.module or "")


@dataclass(frozen=True, eq=False)
class Found:
    """A function or class and the file it stands in."""

    file: File
    node: Definition


def joined(package: str, name: str) -> str:
    return package + name if not name or package.endswith(".") else f"{package}.{name}"


class Files:
    """The files that a script's imports may mean, read when they are asked for."""

    def __init__(self, script: Path) -> None:
        self._folder = script.resolve().parent
        self._read: dict[str, File | None] = {}

    def file(self, module: str | None) -> File | None:
        """The file of a module, None where it is not beside the script or can't be read."""
        if not module:
            return None
        if module not in self._read:
            self._read[module] = self._find(module)
        return self._read[module]

    def _find(self, module: str) -> File | None:
        name = module.lstrip(".")
        folder = self._folder
        for _ in range(len(module) - len(name) - 1):
            folder = folder.parent
        place = folder.joinpath(*name.split(".")) if name else folder
        for path, is_package in ((place.with_suffix(".py"), False), (place / "__init__.py", True)):
            if (name or is_package) and path.is_file() and path.stat().st_size <= LARGEST:
                return _parsed(path, module, is_package)
        return None

    def definition(self, module: str | None, name: str, depth: int = HANDED_ON) -> Found | None:
        """The function or class that `from module import name` gives, also through packages that hand it on."""
        file = self.file(module)
        if file is None or not depth:
            return None
        match file.tops.get(name):
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() as node:
                return Found(file, node)
            case ast.ImportFrom() as statement:
                original = next((a.name for a in statement.names if (a.asname or a.name) == name), name)
                return self.definition(file.imported_module(statement), original, depth - 1)
        return None

    def used(self, found: Found) -> Iterator[Found]:
        """Functions and classes of files beside the script that a definition names."""
        for name in sorted(names_in(found.node)):
            other = self.definition(found.file.module, name)
            if other is not None and other.node is not found.node:
                yield other


def _parsed(path: Path, module: str, is_package: bool) -> File | None:
    try:
        source = read_source(path.read_bytes())
    except (OSError, UnreadableSource):
        return None
    file = File(path, module, is_package, Text(source.text), source.tree)
    for statement in source.tree.body:
        for name in bound([statement]):
            file.tops[name] = statement
    return file


def names_in(node: Definition) -> set[str]:
    """Names that a definition reads from outside, its annotations included."""
    annotations = [
        a for n in ast.walk(node) if isinstance(n, ast.arg | ast.AnnAssign) and (a := n.annotation)
    ]
    annotations += [n.returns for n in ast.walk(node) if isinstance(n, Function) and n.returns]
    return read([node]) | {n.id for a in annotations for n in ast.walk(a) if isinstance(n, ast.Name)}
