"""The layout keeps its promises: imports run one way, nothing heavy loads early, files and functions stay small."""

from __future__ import annotations

import ast
import graphlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
ROOTS = {
    "litify": PROJECT / "runtime",
    "litify_converter": PROJECT / "converter",
    "litify_linter": PROJECT / "linter",
}
MAY_IMPORT = {
    "litify": set[str](),
    "litify_converter": {"litify_linter"},
    "litify_linter": set[str](),
}
COMMANDS = ("convert", "verify", "lint", "run")
HEAVY = ("torch", "libcst", "black", "numpy", "lightning", "torch_xla")

FILE_LINES = 500
FUNCTION_LINES = 70
# function -> why it is longer
LONG_FUNCTIONS: dict[str, str] = {}


def modules(root: str) -> dict[str, Path]:
    """Dotted name -> file, for every module below a root."""
    base = ROOTS[root]
    found = {}
    for path in sorted((base / root).rglob("*.py")):
        parts = path.relative_to(base).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


ALL_MODULES = {name: path for root in ROOTS for name, path in modules(root).items()}


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imported(node: ast.AST, module: str, path: Path) -> Iterator[str]:
    """Dotted names that one import statement may load; for `from a import b` both a.b and a."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        source = node.module or ""
        if node.level:
            package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
            base = package[: len(package) - node.level + 1]
            source = ".".join([*base, *filter(None, [source])])
        for alias in node.names:
            name = f"{source}.{alias.name}"
            yield name if name in ALL_MODULES else source


def on_load(tree: ast.AST) -> Iterator[ast.AST]:
    """Statements that run when the module is loaded: not those in functions, nor those for type checkers only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from on_load(node)


@pytest.mark.parametrize("root", ROOTS)
def test_imports_run_one_way(root: str) -> None:
    allowed = {root, *MAY_IMPORT[root]}
    wrong = []
    for module, path in modules(root).items():
        if module.startswith("litify.commands."):  # the one place that sees all three
            continue
        for node in ast.walk(parse(path)):
            for name in imported(node, module, path):
                top = name.split(".")[0]
                if top in ROOTS and top not in allowed:
                    wrong.append(f"{path.relative_to(PROJECT)}:{node.lineno} imports {name}")  # type: ignore[attr-defined]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("root", ROOTS)
def test_no_module_waits_for_one_that_waits_for_it(root: str) -> None:
    graph = {
        module: {
            name
            for node in on_load(parse(path))
            for name in imported(node, module, path)
            if name in ALL_MODULES and name != module
        }
        for module, path in modules(root).items()
    }
    assert sum(map(len, graph.values())) >= len(graph) // 2, "imports were not understood"
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail("import cycle: " + " -> ".join(error.args[1]))


def test_what_needs_no_torch_does_not_load_it() -> None:
    """Bare litify converts and lints; only what runs inside a training process may import torch on load."""
    child_side = ("litify_converter.verify.record", "litify_converter.verify.keyed")
    wrong = [
        f"{path.relative_to(PROJECT)} loads {name}"
        for root in ("litify_converter", "litify_linter")
        for module, path in modules(root).items()
        if module not in child_side
        for node in on_load(parse(path))
        for name in imported(node, module, path)
        if name.split(".")[0] in ("torch", "lightning", "numpy")
        or (root == "litify_linter" and name in HEAVY)
    ]
    assert not wrong, "\n".join(wrong)


def loaded_by(statement: str) -> set[str]:
    """Top-level packages in sys.modules after a statement in a fresh process."""
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted(m.split('.')[0] for m in sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_commands_help_loads_nothing_heavy(command: str) -> None:
    assert not loaded_by(f"import litify.commands.{command}") & set(HEAVY)


def test_import_litify_loads_nothing_heavy() -> None:
    assert not loaded_by("import litify") & set(HEAVY)


def test_files_are_short() -> None:
    lengths = {
        str(path.relative_to(PROJECT)): len(path.read_text().splitlines()) for path in ALL_MODULES.values()
    }
    assert not {path: lines for path, lines in lengths.items() if lines > FILE_LINES}


def functions(tree: ast.AST, prefix: str) -> Iterator[tuple[str, int]]:
    """Dotted name and lines, docstring not counted, of every function; one inside another counts for both."""
    for node in ast.iter_child_nodes(tree):
        name = f"{prefix}.{node.name}" if hasattr(node, "name") else prefix
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1  # type: ignore[operator]
            if ast.get_docstring(node) is not None:
                lines -= node.body[0].end_lineno - node.body[0].lineno + 1  # type: ignore[operator]
            yield name, lines
        yield from functions(node, name)


def test_functions_are_short_or_have_a_reason() -> None:
    lengths = {
        name: lines
        for module, path in ALL_MODULES.items()
        for name, lines in functions(parse(path), module)
        if lines > FUNCTION_LINES
    }
    assert not {name: lines for name, lines in lengths.items() if name not in LONG_FUNCTIONS}
    assert not LONG_FUNCTIONS.keys() - lengths.keys(), "these are short by now: drop their reason"
