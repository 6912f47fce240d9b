from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import Edits
from litify_linter.reading.file import Place
from litify_linter.reading.lightning import MODULE
from litify_linter.rule import Edit, Example, Finding, Rule

# Layers that own parameters or buffers; a list of activations or losses does no harm.
WITH_STATE = tuple(
    "Linear Bilinear Conv BatchNorm InstanceNorm GroupNorm LayerNorm RMSNorm Embedding RNN LSTM GRU Transformer "  # noqa: SIM905
    "MultiheadAttention PReLU LazyLinear LazyConv ModuleList ModuleDict Sequential".split()
)


class PlainModuleList(Rule):
    """Submodules kept in a plain list, tuple or dictionary of a LightningModule.

    Why: torch does not look into them: the layers are not in `parameters()`, so they are never trained, not moved to the
    device and not saved. nn.ModuleList and nn.ModuleDict are.

    Ignore when: The layers are hidden on purpose, such as a frozen teacher that shall not be saved.
    """

    code, name = "LIT805", "plain-module-list"
    fix = "unsafe"
    severity = "error"
    message = "`self.{attribute}` hides submodules in a plain {kind}; use `nn.{container}`"
    visits = (ast.ClassDef,)
    examples = (
        Example(
            bad="""
            from litify import LightningModule
            from torch import nn


            class Lit(LightningModule):
                def __init__(self):
                    super().__init__()
                    self.layers = [nn.Linear(8, 8) for _ in range(3)]
                    self.heads = {"a": nn.Linear(8, 1)}
            """,
            good="""
            from litify import LightningModule
            from torch import nn


            class Lit(LightningModule):
                def __init__(self):
                    super().__init__()
                    self.layers = nn.ModuleList([nn.Linear(8, 8) for _ in range(3)])
                    self.activations = [nn.ReLU(), nn.Tanh()]
                    self.parts = [nn.Linear(8, 8), nn.ReLU()]
                    self.body = nn.Sequential(*self.parts)
            """,
        ),
        Example(
            bad="""
            import lightning as L
            from torch import nn


            class Block(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.linear = nn.Linear(8, 8)


            class Lit(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.blocks = []
                    for _ in range(4):
                        self.blocks.append(Block())
            """,
            good="""
            import lightning as L


            class Block:
                pass


            class Lit(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.blocks = []
                    for _ in range(4):
                        self.blocks.append(Block())
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """`self.x = [layer, ...]`, or `self.x = []` and `self.x.append(layer)`, where no container takes it over."""
        cls = here.file.lightning.get(node) if isinstance(node, ast.ClassDef) else None
        if cls is None or cls.kind != MODULE:
            return
        for attribute, value in cls.attributes.items():
            kind = _kind(value)
            if kind is None or _handed_on(cls.node, attribute):
                continue
            inside = [*_elements(value), *_appended(cls.node, attribute)]
            if any(_has_state(element, here) for element in inside):
                container = "ModuleDict" if kind == "dict" else "ModuleList"
                wrapped = _wrapped(value, container, here)
                yield self.found(value, here, wrapped, attribute=attribute, kind=kind, container=container)


def _wrapped(value: ast.expr, container: str, here: Place) -> Edits | None:
    """`[...]` -> `nn.ModuleList([...])`, with the name that the file has for torch.nn."""
    if isinstance(value, ast.Tuple):
        return None  # it may stand without parentheses
    if isinstance(value, ast.Dict) and not all(
        isinstance(key, ast.Constant) and isinstance(key.value, str) for key in value.keys
    ):
        return None
    if isinstance(value, ast.DictComp):
        return None
    names = here.file.imports.names
    found = next((name for name, qualified in names.items() if qualified == "torch.nn"), None)
    if found is None and names.get("torch") == "torch":
        found = "torch.nn"
    if found is None:
        return None
    line, column, end_line, end = here.file.span(value)
    before = Edit(line, column, line, column, f"{found}.{container}(")
    return Edits((before, Edit(end_line, end, end_line, end, ")")))


def _kind(value: ast.expr) -> str | None:
    match value:
        case ast.List() | ast.ListComp():
            return "list"
        case ast.Tuple():
            return "tuple"
        case ast.Dict() | ast.DictComp():
            return "dict"
    return None


def _elements(value: ast.expr) -> list[ast.expr]:
    match value:
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return elements
        case ast.ListComp(elt=element):
            return [element]
        case ast.Dict(values=elements):
            return elements
        case ast.DictComp(value=element):
            return [element]
    return []


def _appended(cls: ast.ClassDef, attribute: str) -> Iterable[ast.expr]:
    for node in ast.walk(cls):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Attribute(value=ast.Name(id="self"), attr=name), attr="append"),
                args=[element],
            ) if (
                name == attribute
            ):
                yield element


def _handed_on(cls: ast.ClassDef, attribute: str) -> bool:
    """Whether `self.attribute` is an argument of some call, such as nn.Sequential(*self.attribute)."""
    for node in ast.walk(cls):
        if isinstance(node, ast.Call):
            for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                inner = argument.value if isinstance(argument, ast.Starred) else argument
                if (
                    isinstance(inner, ast.Attribute)
                    and inner.attr == attribute
                    and not _is_builtin(node.func)
                ):
                    return True
    return False


def _is_builtin(function: ast.expr) -> bool:
    """enumerate(self.layers), len(self.layers), zip(...) only look at the list."""
    return isinstance(function, ast.Name) and function.id in {
        "enumerate",
        "len",
        "zip",
        "reversed",
        "range",
        "print",
    }


def _has_state(element: ast.expr, here: Place) -> bool:
    if not isinstance(element, ast.Call):
        return False
    if isinstance(element.func, ast.Name) and element.func.id in here.file.classes:
        return here.file.is_module_class(here.file.classes[element.func.id])
    name = here.resolve(element.func) or ""
    return name.startswith("torch.nn.") and name.rpartition(".")[2].startswith(WITH_STATE)
