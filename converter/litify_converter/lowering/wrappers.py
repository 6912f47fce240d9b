"""`net = nn.DataParallel(net)` and `torch.cuda.set_device(gpu)`: the Trainer spreads the work over devices, and chooses them."""

from __future__ import annotations

import ast

from litify_converter.blocks import inner_blocks
from litify_converter.ir import Note, Scope
from litify_converter.lowering.base import Edit, Lowered, Lowering, Text, removed
from litify_converter.read import Script
from litify_converter.ways import Search
from litify_linter.reading.imports import dotted
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, walk_scope

WRAPPERS = {
    "torch.nn.DataParallel",
    "torch.nn.parallel.DataParallel",
    "torch.nn.parallel.data_parallel.DataParallel",
}
CHOOSING = {"torch.cuda.set_device", "torch.accelerator.set_device_index", "torch.accelerator.set_device_idx"}
# Asking for these changes nothing, so that a branch of which nothing is left can go with its test.
ASKING = ("torch.cuda.", "torch.accelerator.", "torch.backends.", "torch.device")
ASKING_NAMES = {"len", "isinstance", "hasattr", "str", "int", "startswith", "endswith", "lower", "split"}


class Wrappers(Lowering):
    """The network itself trains; `--devices` and `--strategy` say where, and on how many devices."""

    name = "wrappers"
    words = ("DataParallel(", "set_device(", "set_device_index(", "set_device_idx(")

    def find(self, script: Script) -> Lowered | None:
        unwrapping = _Unwrapping(script)
        if not unwrapping.has_work() or not Search(script).ways():
            return None
        return unwrapping.result()


class _Unwrapping:
    """Collects the edits of one script."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.text = Text(script.text)
        self.edits: list[Edit] = []
        self.notes: list[Note] = []
        self.gone: set[ast.stmt] = set()
        self.scopes: list[Scope] = [script.tree, *script.roles.functions.values(), *script.roles.owner]
        self.own_module = any(  # a network that has a part of this name
            isinstance(n, ast.Attribute) and n.attr == "module" and isinstance(n.ctx, ast.Store)
            for n in ast.walk(script.tree)
        )

    def has_work(self) -> bool:
        calls = [n for n in ast.walk(self.script.tree) if isinstance(n, ast.Call)]
        return any(self._wrapped(c) is not None or self._chooses(c) for c in calls)

    def result(self) -> Lowered | None:
        wraps = any(self._wrapped(n) is not None for n in ast.walk(self.script.tree))
        for scope in self.scopes:
            self._find_gone(scope.body, scope)
        self.edits += removed(self.text, self.script.tree.body, self.gone)
        for scope in self.scopes:
            for statement in scope.body:
                if wraps and not self._rewrite(statement, scope):
                    return None
        if wraps:
            self._note_names()
        return Lowered(self.edits, self.notes)

    def _resolve(self, call: ast.Call) -> str:
        return self.script.imports.resolve(call.func) or ""

    def _wrapped(self, node: ast.AST) -> ast.expr | None:
        """The network in `DataParallel(network, ...)`."""
        if isinstance(node, ast.Call) and node.args and self._resolve(node) in WRAPPERS:
            return node.args[0]
        return None

    def _chooses(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Call) and self._resolve(node) in CHOOSING

    # -- statements that go ----------------------------------------------------------------------------------------

    def _find_gone(self, body: list[ast.stmt], scope: Scope) -> None:
        for statement in body:
            if isinstance(statement, Function | ast.ClassDef):
                continue
            match statement:
                case ast.Assign(targets=[target], value=value) if (inner := self._wrapped(value)) is not None:
                    if dotted(target) is not None and dotted(target) == dotted(inner):
                        self._go(statement, "DataParallel is the Trainer's work: --devices, --strategy")
                case ast.Expr(value=value) if self._chooses(value):
                    self._go(statement, "the Trainer chooses the device: --devices")
            for block in inner_blocks(statement):
                self._find_gone(block, scope)
            if isinstance(statement, ast.If) and self._is_empty(statement):
                self.gone.add(statement)

    def _go(self, statement: ast.stmt, reason: str) -> None:
        self.gone.add(statement)
        self.notes.append(Note("engineering", self.script.original_line(statement.lineno) or 1, reason))

    def _is_empty(self, statement: ast.If) -> bool:
        """Whether nothing is left but prints of what the branch did, and asking does nothing either."""
        left = [s for s in [*statement.body, *statement.orelse] if s not in self.gone]
        if len(left) == len(statement.body) + len(statement.orelse):
            return False
        for node in ast.walk(statement.test):
            if isinstance(node, ast.NamedExpr) or (isinstance(node, ast.Call) and not self._only_asks(node)):
                return False
        return not statement.orelse and all(_is_print(s) for s in left) if left else True

    def _only_asks(self, call: ast.Call) -> bool:
        name = self._resolve(call) or dotted(call.func) or ""
        return name.startswith(ASKING) or name.rpartition(".")[2] in ASKING_NAMES

    # -- expressions -----------------------------------------------------------------------------------------------

    def _rewrite(self, statement: ast.stmt, scope: Scope) -> bool:
        """Rewrite what stands in a statement; False where a `.module` can't be told to be the wrapper's."""
        if statement in self.gone or isinstance(statement, Function | ast.ClassDef):
            return True
        blocks = inner_blocks(statement)
        inner = {id(s) for block in blocks for s in block}
        parts = [n for n in ast.iter_child_nodes(statement) if id(n) not in inner]
        return all(self._expression(n, scope) for n in parts) and all(
            self._rewrite(s, scope) for block in blocks for s in block
        )

    def _expression(self, node: ast.AST, scope: Scope) -> bool:
        if isinstance(node, ast.stmt):
            return self._rewrite(node, scope)
        if isinstance(node, ast.expr):
            new = self._new(node, scope)
            if new is not None:
                self.edits.append(self.text.replace(node, new))
                return True
        if isinstance(node, ast.Attribute) and node.attr == "module" and isinstance(node.ctx, ast.Load):
            return self.own_module or self.script.imports.resolve(node) is not None
        return all(self._expression(child, scope) for child in ast.iter_child_nodes(node))

    def _new(self, node: ast.expr, scope: Scope) -> str | None:
        wrapped = self._wrapped(node)
        if wrapped is not None:
            return self._inner(wrapped, scope)
        match node:
            case ast.Attribute(value=owner, attr="module", ctx=ast.Load()) if self._is_network(owner, scope):
                return self._inner(owner, scope)
            case ast.IfExp(test=test, body=body, orelse=orelse) if _asks_for_wrapper(test):
                first, second = self._inner(body, scope), self._inner(orelse, scope)
                return first if first == second else None
            case ast.Call(func=ast.Attribute(value=value, attr=attr) as func):
                inner = self._new(value, scope)  # `DataParallel(net).cuda()`, `net.module.state_dict()`
                if inner is not None and not any(self._expression_changes(a, scope) for a in node.args):
                    rest = self.text.of(node)[len(self.text.of(func)) :]
                    return f"{inner}.{attr}{rest}"
        return None

    def _expression_changes(self, node: ast.expr, scope: Scope) -> bool:
        return any(isinstance(n, ast.expr) and self._new(n, scope) is not None for n in ast.walk(node))

    def _inner(self, node: ast.expr, scope: Scope) -> str:
        return self._new(node, scope) or self.text.of(node)

    def _is_network(self, owner: ast.expr, scope: Scope) -> bool:
        return not self.own_module and self.script.roles.of(owner, scope) is Role.MODEL

    def _note_names(self) -> None:
        """Weights in files lose the `module.` that DataParallel puts before their names."""
        for node in walk_scope(self.script.tree.body):
            match node:
                case ast.Call(func=ast.Attribute(attr="state_dict" | "load_state_dict", value=owner)) if not (
                    isinstance(owner, ast.Attribute) and owner.attr == "module"
                ):
                    line = self.script.original_line(node.lineno) or 1
                    self.notes.append(
                        Note(
                            "look",
                            line,
                            "weights have no `module.` before their names, as without DataParallel",
                        )
                    )
                    return


def _asks_for_wrapper(test: ast.expr) -> bool:
    """`isinstance(net, nn.DataParallel)`, `hasattr(net, "module")`."""
    return any(
        isinstance(n, ast.Call) and dotted(n.func) in ("isinstance", "hasattr") for n in ast.walk(test)
    )


def _is_print(statement: ast.stmt) -> bool:
    match statement:
        case ast.Pass() | ast.Expr(value=ast.Call(func=ast.Name(id="print"))):
            return True
    return False
