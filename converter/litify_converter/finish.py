"""Stage 7, finish: unused imports out, formatted by black, and the checks that a result must pass."""

from __future__ import annotations

import ast
import builtins
import re
import warnings
from pathlib import Path

import black
import libcst as cst
from black.const import DEFAULT_LINE_LENGTH
from black.files import find_project_root, parse_pyproject_toml

from litify_converter.pieces import is_import
from litify_converter.read import Script
from litify_converter.refusals import SelfCheckFailed
from litify_linter.reading.scopes import Function, bound, free, function_locals, read, walk, walk_scope

_CODING = re.compile(r"[ \t\f]*#.*?coding[:=][ \t]*(?!utf-?8\b)[-\w.]+", re.IGNORECASE)


def finish(text: str, script: Script) -> str:
    """The result as it is written: formatted, without imports that only the removed code used.

    Raises:
        SelfCheckFailed: the result does not parse or reads a name that nothing defines.
    """
    try:
        ast.parse(text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the script's own affair
            compile(text, "result", "exec", dont_inherit=True)
    except SyntaxError as error:
        raise SelfCheckFailed(
            f"the result does not parse: {error.msg} (line {error.lineno} of the result)"
        ) from None
    raw = (script.original or script).tree
    text = _without_functions(text, raw)
    text = _without_imports(text, _no_longer_used(raw, ast.parse(text)))
    check_names(ast.parse(text), script)
    return black.format_str(_in_utf8(text), mode=_mode(script.path))


def _in_utf8(text: str) -> str:
    """The text without a declaration of another encoding (PEP 263: in the first two lines): results are written in UTF-8."""
    lines = text.split("\n", 2)
    return "\n".join([line for line in lines[:2] if not _CODING.match(line)] + lines[2:])


def _mode(path: Path) -> black.Mode:
    """Black's settings of the project the script belongs to."""
    root, _ = find_project_root([str(path.resolve())])
    config = root / "pyproject.toml" if root is not None else None
    settings = parse_pyproject_toml(str(config)) if config is not None and config.is_file() else {}
    return black.Mode(
        line_length=int(settings.get("line_length", DEFAULT_LINE_LENGTH)),
        string_normalization=not settings.get("skip_string_normalization", False),
        magic_trailing_comma=not settings.get("skip_magic_trailing_comma", False),
    )


def _imported(tree: ast.Module) -> set[str]:
    return {n for s in tree.body if isinstance(s, ast.Import | ast.ImportFrom) for n in bound([s])}


def _used(tree: ast.Module) -> set[str]:
    return {n.id for n in walk(tree) if isinstance(n, ast.Name)} | _exported(tree)


def _exported(tree: ast.Module) -> set[str]:
    """Names listed in __all__."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets
        ):
            names |= {
                c.value
                for c in ast.walk(node.value)
                if isinstance(c, ast.Constant) and isinstance(c.value, str)
            }
    return names


def _no_longer_used(before: ast.Module, after: ast.Module) -> set[str]:
    """Imported names that the script used and the result does not."""
    return (_imported(after) & _used(before)) - _used(after)


def _without_functions(text: str, raw: ast.Module) -> str:
    """The result without functions that only removed code called."""
    called = _used(raw)
    while True:
        tree = ast.parse(text)
        gone = [
            f.name
            for f in tree.body
            if isinstance(f, Function) and f.name in called and f.name not in _used_outside(tree, f)
        ]
        if not gone:
            return text
        module = cst.parse_module(text)
        body = [s for s in module.body if not (isinstance(s, cst.FunctionDef) and s.name.value in gone)]
        text = module.with_changes(body=body).code


def _used_outside(tree: ast.Module, function: Function) -> set[str]:
    """Names that anything but the function itself uses."""
    others = ast.Module([s for s in tree.body if s is not function], [])
    return _used(others)


def _without_imports(text: str, names: set[str]) -> str:
    if not names:
        return text
    module = cst.parse_module(text)
    body: list[cst.CSTNode] = []
    for statement in module.body:
        if is_import(statement):
            assert isinstance(statement, cst.SimpleStatementLine)
            kept = _kept_import(statement, names)
            if kept is None:
                continue
            statement = kept
        body.append(statement)
    return module.with_changes(body=body).code


def _kept_import(line: cst.SimpleStatementLine, names: set[str]) -> cst.SimpleStatementLine | None:
    only = line.body[0]
    if not isinstance(only, cst.Import | cst.ImportFrom) or isinstance(only.names, cst.ImportStar):
        return line
    kept = [a for a in only.names if _binds(a) not in names]
    if not kept:
        return None
    if len(kept) < len(only.names):
        kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        return line.with_changes(body=[only.with_changes(names=kept)])
    return line


def _binds(alias: cst.ImportAlias) -> str:
    if alias.asname is not None:
        return cst.ensure_type(alias.asname.name, cst.Name).value
    return cst.Module([]).code_for_node(alias.name).partition(".")[0]


def check_names(tree: ast.Module, script: Script) -> None:
    """Every name the result reads is defined in it, or was not defined in the script either."""
    known = bound(tree.body) | set(dir(builtins)) | {"__file__", "__name__", "__doc__"}
    known |= {n for f in ast.walk(tree) if isinstance(f, Function) for g in walk_scope(f.body)
              if isinstance(g, ast.Global) for n in g.names}  # fmt: skip
    original = bound(script.tree.body) | set(dir(builtins))
    star = any(isinstance(n, ast.ImportFrom) and n.names[0].name == "*" for n in ast.walk(script.tree))
    missing = sorted((read(tree.body) - known) if not star else set())
    before = read(script.tree.body) - original
    missing = [n for n in missing if n not in before]
    if missing:
        raise SelfCheckFailed(f"the result reads `{missing[0]}`, which it does not define")
    _check_locals(tree)


def _check_locals(tree: ast.Module) -> None:
    """No leftover placeholder."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id.endswith("__") and node.id in ("BATCH__", "BATCH_IDX__"):
            raise SelfCheckFailed("a placeholder was left in the result")


__all__ = ["check_names", "finish", "free", "function_locals"]
