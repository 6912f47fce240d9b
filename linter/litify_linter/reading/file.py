"""A file as the rules see it: its nodes by type, each with the place it stands in, gathered in one walk."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable

from litify_linter.reading.imports import Imports, dotted
from litify_linter.reading.lightning import (
    MODULE,
    Beside,
    LightningClass,
    LightningNames,
    lightning_classes,
    lineage,
    package_of,
)
from litify_linter.reading.objects import assignments
from litify_linter.reading.scopes import Function, parameters
from litify_linter.reading.source import Source

_ENTERED = frozenset({ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef})
# Fields that hold no expression or statement, or that no rule asks for (aliases of imports): skipping them saves a third of
# the walk.
_NO_CHILDREN = {
    *("arg", "asname", "attr", "conversion", "ctx", "id", "is_async", "kind", "kwd_attrs", "level", "lineno"),
    *(
        "module",
        "n",
        "name",
        "names",
        "op",
        "ops",
        "rest",
        "s",
        "simple",
        "tag",
        "type_comment",
        "type_ignores",
    ),
}
# A chain of calls that goes on in the next line.
_BEFORE_DOT = re.compile(r"\s*\\?\n\s*(?=\.)")
_VERSION = re.compile(r"version|_V\d|_GREATER|_LESS|_GE_|_LT_|_GTE_|_AVAILABLE", re.IGNORECASE)
_RANKS = {"is_global_zero", "is_rank_zero", "global_rank", "local_rank", "rank", "get_rank"}
# Nothing is in these; None is where a field or a key is missing, a bool what `case True` compares with.
_LEAVES = frozenset(
    {ast.Name, ast.Constant, ast.Pass, ast.Break, ast.Continue, ast.Global, ast.Nonlocal, type(None), bool}
)


def _expects_error(context: ast.expr) -> bool:
    match context:
        case ast.Call(func=ast.Attribute(attr="raises" | "assertRaises" | "assertRaisesRegex")):
            return True
    return False


def _spans(body: list[ast.stmt], line: int) -> bool:
    return body[0].lineno <= line <= (body[-1].end_lineno or 0)


class _Fields(dict[type[ast.AST], tuple[str, ...]]):
    """Class of a node -> its fields that hold nodes, worked out when first asked for."""

    def __missing__(self, kind: type[ast.AST]) -> tuple[str, ...]:
        fields = self[kind] = tuple(name for name in kind._fields if name not in _NO_CHILDREN)
        return fields


_FIELDS = _Fields()


class Place:
    """Where a node stands: the classes and functions around it."""

    __slots__ = ("cls", "file", "lightning", "method", "outer", "scope")

    def __init__(self, file: File, outer: Place | None, scope: ast.AST) -> None:
        self.file = file
        self.outer = outer
        self.scope = scope  # innermost module, class, function or lambda
        self.cls: ast.ClassDef | None = None  # innermost class
        self.method: Function | None = None  # the function directly in `cls` that encloses the node
        self.lightning: LightningClass | None = None  # what `cls` is, if it is a Lightning class
        if isinstance(scope, ast.ClassDef):
            self.cls = scope
        elif outer is not None:
            self.cls, self.method = outer.cls, outer.method
            if isinstance(outer.scope, ast.ClassDef) and isinstance(scope, Function):
                self.method = scope

    @property
    def module(self) -> LightningClass | None:
        """The LightningModule the node stands in."""
        return self.lightning if self.lightning is not None and self.lightning.kind == MODULE else None

    @property
    def hook(self) -> str | None:
        """The name of the Lightning class's method the node stands in, closures inside it included."""
        return self.method.name if self.method is not None and self.lightning is not None else None

    @property
    def is_static(self) -> bool:
        """Whether the method has no object: a staticmethod or a classmethod."""
        decorators = self.method.decorator_list if self.method is not None else []
        return any(isinstance(d, ast.Name) and d.id in {"staticmethod", "classmethod"} for d in decorators)

    @property
    def callable_by_hand(self) -> bool:
        """Whether it is a predict_step that users call themselves: without `batch_idx`, or with arguments of their own."""
        if self.hook != "predict_step" or self.method is None:
            return False
        args = self.method.args
        names = [a.arg for a in [*args.posonlyargs, *args.args]]
        required = len(names) - len(args.defaults)
        return len(names) > 2 and (required <= 2 or required > 4)

    @property
    def automatic(self) -> bool:
        """Whether the node stands in a LightningModule whose optimization the Trainer does."""
        return self.module is not None and self.module.automatic

    @property
    def in_strategy(self) -> bool:
        """Whether the node stands in a strategy or a cluster environment of its own, which do by hand what they are for."""
        bases = [self.resolve(base) or "" for base in (self.cls.bases if self.cls is not None else ())]
        return any(
            package_of(base) and base.endswith(("Strategy", "Environment", "Plugin")) for base in bases
        )

    def guarded(self, node: ast.AST, words: set[str], by_count: bool = True) -> bool:
        """Whether the node stands in the body of an `if` of its method that tests one of these names or attributes.

        If `by_count`, whatever makes it seldom counts as well: a remainder, as in `i % 100 == 0`, and an error caught.
        """
        line = getattr(node, "lineno", 0)
        for outer in ast.walk(self.method) if self.method is not None else ():
            if not isinstance(outer, ast.If | ast.ExceptHandler) or not _spans(outer.body, line):
                continue
            if isinstance(outer, ast.ExceptHandler):
                if by_count:
                    return True
                continue
            tested = list(ast.walk(outer.test))
            names = {getattr(n, "id", None) or getattr(n, "attr", None) for n in tested}
            if names & words or (by_count and any(isinstance(n, ast.Mod) for n in tested)):
                return True
        return False

    def conditional(self, node: ast.AST) -> bool:
        """Whether the method comes to the node under a condition only: in a branch, after a caught error, or behind an
        `if` that returns."""
        line = getattr(node, "lineno", 0)
        for outer in ast.walk(self.method) if self.method is not None else ():
            match outer:
                case ast.If(body=body, orelse=orelse):
                    if _spans(body, line) or (orelse and _spans(orelse, line)):
                        return True
                    if body[-1].lineno < line and isinstance(body[-1], ast.Return):
                        return True
                case ast.ExceptHandler(body=body) | ast.match_case(body=body):
                    if _spans(body, line):
                        return True
        return False

    def on_one_rank(self, node: ast.AST) -> bool:
        """Whether only one process comes to the node: a test of the rank around it or before it, or a decorator."""
        if self.method is None:
            return False
        if any(
            (dotted(decorator) or "").endswith("rank_zero_only") for decorator in self.method.decorator_list
        ):
            return True
        if self.guarded(node, _RANKS, by_count=False):
            return True
        before = (s for s in self.method.body if s.lineno < getattr(node, "lineno", 0))
        return any(
            isinstance(s, ast.If)
            and isinstance(s.body[-1], ast.Return)
            and any((getattr(n, "id", None) or getattr(n, "attr", None)) in _RANKS for n in ast.walk(s.test))
            for s in before
        )

    @property
    def self_name(self) -> str:
        """What the method calls its object: "self", as a rule."""
        names = parameters(self.method) if self.method is not None else []
        return names[0] if names else "self"

    def text(self, node: ast.expr) -> str:
        """An expression as it stands in the file, on one line."""
        return " ".join(_BEFORE_DOT.sub("", self.file.source(node)).split())

    def resolve(self, node: ast.expr) -> str | None:
        """The qualified name of an imported expression, star imports of Lightning included."""
        return self.file.names.qualified(node)


class File:
    """One parsed file and what all rules ask about it."""

    def __init__(self, source: Source, beside: Beside | None = None) -> None:
        self.text = source.text
        self.path = beside.path if beside is not None else ""  # absolute; empty for a text without a file
        self.lines = source.lines
        self.tree = source.tree
        self.nodes: dict[type[ast.AST], list[tuple[ast.AST, Place]]] = {}
        self.in_hooks: dict[type[ast.AST], list[tuple[ast.AST, Place]]] = (
            {}
        )  # in methods of Lightning classes
        self.nodes[ast.Module] = [(self.tree, Place(self, None, self.tree))]
        self._assigned: dict[ast.AST, dict[str, list[ast.expr]]] = {}
        places = self._walk()
        self.imports = Imports(source.tree)
        stars = [
            n for n in self._all(ast.ImportFrom) if isinstance(n, ast.ImportFrom) and n.names[0].name == "*"
        ]
        self.names = LightningNames(self.imports, stars)
        every = [n for n in self._all(ast.ClassDef) if isinstance(n, ast.ClassDef)]
        self.classes = {cls.name: cls for cls in every}
        self.lightning = lightning_classes(every, self.classes, self.names, beside)
        if self.lightning:
            self._assign_lightning(places)

    @functools.cached_property
    def uses_lightning(self) -> bool:
        """Whether it defines a LightningModule or DataModule, or builds a Trainer."""
        return bool(self.lightning) or self.builds_trainer

    @functools.cached_property
    def builds_trainer(self) -> bool:
        """Whether it calls the Trainer class of one of Lightning's packages."""
        return any(
            isinstance(node, ast.Call) and self.names.is_from(node.func, frozenset({"Trainer"})) is not None
            for node in self._all(ast.Call)
        )

    @functools.cached_property
    def meant_to_fail(self) -> tuple[tuple[int, int], ...]:
        """First and last lines of the blocks that a test expects to raise: `with pytest.raises(...)`."""
        return tuple(
            (node.lineno, node.end_lineno or node.lineno)
            for node in self._all(ast.With)
            if isinstance(node, ast.With) and any(_expects_error(item.context_expr) for item in node.items)
        )

    @functools.cached_property
    def _versioned(self) -> tuple[tuple[int, int], ...]:
        """First and last lines of every `if` whose test asks for a version: either side is for one of them only."""
        return tuple(
            (node.lineno, node.end_lineno or node.lineno)
            for kind in (ast.If, ast.IfExp)
            for node in self._all(kind)
            if isinstance(node, ast.If | ast.IfExp) and _VERSION.search(ast.unparse(node.test))
        )

    def is_for_a_version(self, node: ast.stmt | ast.expr | ast.keyword) -> bool:
        """Whether code stands under a question for a version, or is a function that begins with one."""
        line = node.body[0].lineno if isinstance(node, Function) else node.lineno
        return any(first <= line <= last for first, last in self._versioned)

    @functools.cached_property
    def attributes_read(self) -> frozenset[str]:
        """Every `y` of an `x.y` in the file."""
        return frozenset(node.attr for node in self._all(ast.Attribute) if isinstance(node, ast.Attribute))

    def assigned(self, scope: Function | ast.Module) -> dict[str, list[ast.expr]]:
        """Name -> what is assigned to it in this scope, nested functions left out."""
        if scope not in self._assigned:
            values = self._assigned[scope] = {}
            for name, value in assignments(scope):
                values.setdefault(name, []).append(value)
        return self._assigned[scope]

    @functools.cached_property
    def keywords_used(self) -> frozenset[str]:
        """Every `y` of an `f(y=...)` in the file."""
        return frozenset(
            node.arg for node in self._all(ast.keyword) if isinstance(node, ast.keyword) and node.arg
        )

    def is_plain(self, cls: ast.ClassDef) -> bool:
        """Whether all a class inherits from stands in this file, and none of it is torch's: it is no module."""
        ancestors = lineage(cls, self.classes)
        known = {"object", *(a.name for a in ancestors)}
        return all(isinstance(base, ast.Name) and base.id in known for a in ancestors for base in a.bases)

    def is_module_class(self, cls: ast.ClassDef) -> bool:
        """Whether a class inherits, through classes of this file, from torch.nn.Module or a LightningModule."""
        bases = [self.imports.resolve(base) for a in lineage(cls, self.classes) for base in a.bases]
        return "torch.nn.Module" in bases or (cls in self.lightning and self.lightning[cls].kind == MODULE)

    def span(self, node: ast.AST) -> tuple[int, int, int, int]:
        """First line and column, last line and column of a node, from 1, in characters; of a definition, its name."""
        if isinstance(node, Function | ast.ClassDef):
            return self._name_span(node)
        line, end_line = getattr(node, "lineno", 1), getattr(node, "end_lineno", 1)
        start = self._character(line, getattr(node, "col_offset", 0))
        end = self._character(end_line, getattr(node, "end_col_offset", 0))
        return line, start, end_line, end

    def extent(self, node: ast.stmt) -> tuple[int, int, int, int]:
        """The span of a whole statement, from the first decorator of a definition to the end of its body."""
        line = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        start = self._character(node.lineno, node.col_offset)  # a decorator's `@` stands right above
        end_line = node.end_lineno or node.lineno
        return line, start, end_line, self._character(end_line, node.end_col_offset or 0)

    def between(self, start: tuple[int, int], end: tuple[int, int]) -> str:
        """The text from one place to another, places as in `span`, line breaks as `\\n`."""
        (line, column), (end_line, end_column) = start, end
        if line == end_line:
            return self.lines[line - 1][column - 1 : end_column - 1]
        middle = self.lines[line : end_line - 1]
        return "\n".join(
            [self.lines[line - 1][column - 1 :], *middle, self.lines[end_line - 1][: end_column - 1]]
        )

    def source(self, node: ast.expr) -> str:
        """The text of an expression as it stands in the file."""
        line, column, end_line, end = self.span(node)
        return self.between((line, column), (end_line, end))

    @functools.cached_property
    def newline(self) -> str:
        """The line break that the file uses."""
        match = re.search(r"\r\n|\r|\n", self.text)
        return match[0] if match else "\n"

    @functools.cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """Node -> the node it stands in. Made when a fix first asks for it."""
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    def header_span(self, node: ast.For | ast.AsyncFor | ast.While) -> tuple[int, int, int, int]:
        """The span of a loop's header, without its body."""
        line, column, _, _ = self.span(node)
        _, _, end_line, end = self.span(node.test if isinstance(node, ast.While) else node.iter)
        return line, column, end_line, end

    def _name_span(self, node: Function | ast.ClassDef) -> tuple[int, int, int, int]:
        start = self._character(node.lineno, node.col_offset) - 1
        match = re.compile(rf"\b{re.escape(node.name)}\b").search(self.lines[node.lineno - 1], start)
        column = match.start() + 1 if match else start + 1  # no match: the name stands on a continued line
        return node.lineno, column, node.lineno, column + len(node.name)

    def _character(self, line: int, byte: int) -> int:
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        return byte + 1 if text.isascii() else len(text.encode()[:byte].decode(errors="ignore")) + 1

    def _all(self, kind: type[ast.AST]) -> Iterable[ast.AST]:
        return (node for node, _ in self.nodes.get(kind, ()))

    def _walk(self) -> list[Place]:
        """Fill `nodes`; gives every place. An explicit stack: code may nest deeper than Python recurses."""
        root = Place(self, None, self.tree)
        places, nodes = [root], self.nodes
        stack: list[tuple[ast.AST, Place]] = [(statement, root) for statement in self.tree.body]
        # Every node of every file passes here: exact classes are asked for, which is cheaper than isinstance.
        push, pop, known, leaves = stack.append, stack.pop, _FIELDS, _LEAVES
        while stack:
            pair = pop()
            node, inner = pair
            kind = type(node)
            if kind in nodes:
                nodes[kind].append(pair)
            else:
                nodes[kind] = [pair]
            if kind in _ENTERED:
                inner = Place(self, inner, node)
                places.append(inner)
            for name in known[kind]:
                value = getattr(node, name)
                # Decorators are evaluated outside, yet a reader counts them to what they decorate.
                if type(value) is list:
                    for one in value:
                        if type(one) not in leaves:
                            push((one, inner))
                elif type(value) not in leaves:
                    push((value, inner))
        return places

    def _assign_lightning(self, places: list[Place]) -> None:
        for place in places:
            place.lightning = self.lightning.get(place.cls) if place.cls is not None else None
        for kind, found in self.nodes.items():
            inside = [pair for pair in found if pair[1].hook is not None]
            if inside:
                self.in_hooks[kind] = inside
