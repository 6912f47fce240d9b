"""What a file holds: a script that trains when run, or only classes; and training such classes.

Reading is done on the syntax tree: nothing of the file is executed before it is known how.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import tokenize
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from litify.errors import LitifyError, MissingExtra

LIGHTNING = ("lightning", "pytorch_lightning")


class ScriptError(LitifyError):
    """A file cannot be read, or does not hold what is needed to train; the message says where and what to do."""


@dataclass(frozen=True)
class Script:
    """What reading a file told."""

    path: Path
    trains_when_run: bool
    """It has a main, calls a Trainer at module level, or holds no LightningModule: `python FILE` is all there is to do."""
    trainer_from: str
    """"litify" or "lightning", whichever the file or a module beside it imports; "" for neither."""


# -- reading ------------------------------------------------------------------------------------------------------------


def read(path: Path) -> Script:
    """Read a file without running it.

    Raises:
        ScriptError: it is missing, a folder, unreadable, not Python, or has a syntax error (file:line).
    """
    tree = parse(path)
    runs = _has_main(tree) or _calls_trainer(tree) or not any(_lightning_modules(tree))
    return Script(path, runs, _trainer_from(path, tree))


def parse(path: Path) -> ast.Module:
    """The file's syntax tree. Raises ScriptError as `read` does."""
    if path.is_dir():
        raise ScriptError(f"{path} is a folder; name the script in it")
    try:
        with tokenize.open(path) as file:  # heeds a coding line and a byte order mark, as Python does
            text = file.read()
    except FileNotFoundError:
        raise ScriptError(f"{path}: no such file") from None
    except (UnicodeDecodeError, SyntaxError) as error:
        raise ScriptError(f"{path} is not Python source: {error}") from None
    except OSError as error:
        raise ScriptError(f"{path} cannot be read: {error.strerror or error}") from None
    if "\0" in text:
        raise ScriptError(f"{path} is not Python source: it holds null bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python gives them again when it runs the file
            return ast.parse(text, filename=str(path))
    except SyntaxError as error:
        raise ScriptError(f"{path}:{error.lineno or 1}: {error.msg}") from None
    except (RecursionError, MemoryError):
        raise ScriptError(f"{path} is nested too deep for Python to read") from None


def _has_main(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.If)
        and {"__name__", "'__main__'"} <= {ast.unparse(part) for part in ast.walk(node.test)}
        for node in tree.body
        if isinstance(node, ast.If) and isinstance(node.test, (ast.Compare, ast.BoolOp))
    )


def _calls_trainer(tree: ast.Module) -> bool:
    """Whether module-level code calls `trainer.fit` and the like, itself or in what it names of this file."""
    definitions = {
        node.name: node
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    }
    pending: list[ast.stmt] = [node for node in tree.body if node not in definitions.values()]
    while pending:
        for part in ast.walk(pending.pop()):
            match part:
                case ast.Call(func=ast.Attribute(value=owner, attr="fit" | "validate" | "test" | "predict")):
                    if "trainer" in ast.unparse(owner).lower():
                        return True
                case ast.Name(id=name) if name in definitions:
                    pending.append(definitions.pop(name))
    return False


def _lightning_modules(tree: ast.Module) -> Iterator[ast.ClassDef]:
    """Classes that derive from LightningModule as the imports tell, or have a training_step (a base from elsewhere)."""
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
        methods = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
        if "LightningModule" in bases or (bases and "training_step" in methods):
            yield node


def _trainer_from(path: Path, tree: ast.Module) -> str:
    """Which package's Trainer the file can reach, through modules beside it too."""
    found, seen, pending = set(), {path.resolve()}, [tree]
    while pending:
        for name in _imports(pending.pop()):
            found.add(name)
            beside = (path.parent / f"{name}.py").resolve()
            if beside.is_file() and beside not in seen:
                seen.add(beside)
                try:
                    pending.append(parse(beside))
                except ScriptError:  # Python will say so if the import is ever reached
                    continue
    if "litify" in found:
        return "litify"
    return "lightning" if found & set(LIGHTNING) else ""


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name.partition(".")[0] for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module.partition(".")[0]


# -- training what a file without a main defines ------------------------------------------------------------------------


def train_classes(path: Path, arguments: Sequence[str], seed: int | None = None) -> None:
    """Build the file's LightningModule and LightningDataModule, their arguments from the command line, and fit.

    Args:
        path: a file whose classes are litify's.
        arguments: `--model.x 1 --data.y 2 --config FILE.yaml`; `--model NAME` or `--data NAME` choose among several.
        seed: None leaves the generators as they are.

    Raises:
        ScriptError: no class, several to choose from, or arguments that do not fit them.
        MissingExtra: jsonargparse is not installed.
    """
    from litify import LightningDataModule, LightningModule, Trainer  # torch: only when training

    module = import_file(path)
    chosen, rest = _choices(arguments)
    classes = {
        "model": _one_class(module, LightningModule, "model", chosen.get("model"), needed=True),
        "data": _one_class(module, LightningDataModule, "data", chosen.get("data"), needed=False),
    }
    if seed is not None:
        from litify import seed_everything

        seed_everything(seed)
    built = _build(path, {name: kind for name, kind in classes.items() if kind is not None}, rest)
    Trainer().fit(built["model"], datamodule=built.get("data"))


def import_file(path: Path) -> ModuleType:
    """Import a file under its own name, as a module beside it would, so that what it pickles can be found again."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _choices(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Take `--model NAME` and `--data NAME` out of the arguments; dotted ones stay."""
    chosen: dict[str, str] = {}
    rest = []
    pending = iter(arguments)
    for argument in pending:
        option, equals, value = argument.partition("=")
        if option in ("--model", "--data"):
            chosen[option[2:]] = value if equals else next(pending, "")
        else:
            rest.append(argument)
    return chosen, rest


def _one_class(module: ModuleType, base: type, role: str, name: str | None, needed: bool) -> type | None:
    """The one class of the module that derives from `base`; classes that others of them derive from do not count."""
    file = module.__file__
    own = [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, base) and kind.__module__ == module.__name__
    ]
    leaves = {kind.__name__: kind for kind in own if not any(kind in other.__mro__[1:] for other in own)}
    if name is not None:
        named = {kind.__name__: kind for kind in own}
        if name not in named:
            raise ScriptError(
                f"{file} defines no {base.__name__} {name!r}; it defines {', '.join(named) or 'none'}"
            )
        return named[name]
    if len(leaves) > 1:
        raise ScriptError(
            f"{file} defines several {base.__name__}s: {', '.join(leaves)}; choose one with `-- --{role} NAME`"
        )
    if needed and not leaves:
        raise ScriptError(f"{file} defines no {base.__name__}, and does not train when run; nothing to do")
    return next(iter(leaves.values()), None)


def _build(path: Path, classes: dict[str, type], arguments: Sequence[str]) -> dict[str, Any]:
    """Instances of the classes, by role, from command line and config files (jsonargparse)."""
    try:
        import jsonargparse
    except ImportError:
        raise MissingExtra("jsonargparse is missing: pip install 'litify[run]'") from None
    parser = jsonargparse.ArgumentParser(prog=f"litify run {path.name} --", exit_on_error=False)
    parser.add_argument(
        "--config",
        action=jsonargparse.ActionConfigFile,  # type: ignore[attr-defined]
        help="a YAML or JSON file of these options",
    )
    for role, kind in classes.items():
        parser.add_class_arguments(kind, role, fail_untyped=False)
    try:
        built = parser.instantiate_classes(parser.parse_args(list(arguments)))
    except jsonargparse.ArgumentError as error:
        text = " ".join(str(error).split())
        raise ScriptError(f"{path.name}: {text} (see `litify run {path.name} -- --help`)") from None
    return {role: built[role] for role in classes}
