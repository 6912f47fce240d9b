"""Rewriting of moved statements: names get their new homes, device moves go, backward becomes manual_backward."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

import libcst as cst

from litify_converter.ir import Scope
from litify_converter.tensors import FACTORIES, WITHOUT_DEVICE, is_number, takes_from_device
from litify_linter.reading.roles import Role, Roles
from litify_linter.reading.scopes import COMPREHENSIONS, bound, function_locals, walk_scope

NameText = Callable[[str], str | None]  # a name of the scope -> how it is spelled now (None: as before)
VARIABLE = {"torch.autograd.Variable", "torch.autograd.variable.Variable"}
MOVES = {"to", "cuda"}


class Rewriter(cst.CSTTransformer):
    """Rewrites statements of one scope.

    `name_text` and `field_text` say how names and fields of names (`args.lr`) are spelled now; `edits` maps the id of
    a libcst statement to what stands in its place; `in_hook`: statements of a LightningModule, where the Trainer moves
    the batch (`batch_names`) and the model, prints go through `self.print` and backward through `self.manual_backward`.
    """

    def __init__(
        self,
        scope: Scope,
        roles: Roles,
        name_text: NameText,
        field_text: Callable[[str, str], str | None],
        edits: Mapping[int, list[cst.BaseStatement]],
        in_hook: bool,
        batch_names: frozenset[str] = frozenset(),
        own: cst.CSTNode | None = None,
        expressions: Mapping[str, str] | None = None,
        of_data: bool = False,
        interrupted: frozenset[int] = frozenset(),
        insertions: Mapping[int, list[cst.BaseStatement]] | None = None,
        guarded: frozenset[int] = frozenset(),
        placed: bool = False,
    ) -> None:
        super().__init__()
        self.scope = scope
        self.roles = roles
        self.name_text = name_text
        self.field_text = field_text
        self.edits = edits
        self.in_hook = in_hook
        self.batch_names = batch_names
        self.own = own  # the function whose scope this is, where the function itself is rewritten
        self.expressions = (
            expressions or {}
        )  # binary operation, as ast prints it -> the name that stands for it
        self.interrupted = interrupted  # ids of `except KeyboardInterrupt` around the loop
        self.insertions = insertions or {}  # id of a libcst statement -> what goes before it
        self.guarded = guarded  # ids of libcst statements that one process runs
        self.placed = placed  # tensors that the statements make are made on the Trainer's device
        self.of_data = of_data  # statements of a DataModule, where prepare_data downloads
        self._shadowed: list[set[str]] = []
        self._outside: dict[int, set[str]] = (
            {}
        )  # first iterable of a comprehension -> what its own names hide
        self._not_names: set[int] = set()  # Name nodes that are attributes, keywords, parameters ...
        self._networks: set[int] = set()  # values given to names of networks

    # -- statements ------------------------------------------------------------------------------------------------

    def on_visit(self, node: cst.CSTNode) -> bool:
        if id(node) in self._outside:  # evaluated before the comprehension's own names exist
            self._outside[id(node)] = self._shadowed.pop()
        return super().on_visit(node)

    def on_leave(self, original_node, updated_node):  # type: ignore[no-untyped-def]
        left: Any
        if id(original_node) in self.edits:
            left = cst.FlattenSentinel(self.edits[id(original_node)])
        else:
            left = super().on_leave(original_node, updated_node)
        if id(original_node) in self.guarded:
            left = by_one_process(left)
        if id(original_node) in self.insertions:
            left = cst.FlattenSentinel([*self.insertions[id(original_node)], left])
        if id(original_node) in self._outside:
            self._shadowed.append(self._outside.pop(id(original_node)))
        return left

    def visit_Assign(self, node: cst.Assign) -> None:
        """`net = Net().to(device)` makes a network, in whatever file its class stands."""
        targets = [_expression(t.target) for t in node.targets]
        if all(t is not None and self.roles.of(t, self.scope) is Role.MODEL for t in targets):
            self._networks.add(id(node.value))

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.SimpleStatementLine | cst.RemovalSentinel:
        if len(updated_node.body) == 1 and self.in_hook and is_self_assignment(updated_node.body[0]):
            return cst.RemoveFromParent()
        return updated_node

    def leave_If(self, original_node: cst.If, updated_node: cst.If) -> cst.If | cst.RemovalSentinel:
        if is_empty(updated_node.body) and updated_node.orelse is None and not is_empty(original_node.body):
            return cst.RemoveFromParent()
        return updated_node

    def leave_IndentedBlock(
        self, original_node: cst.IndentedBlock, updated_node: cst.IndentedBlock
    ) -> cst.IndentedBlock:
        if not updated_node.body:
            return updated_node.with_changes(body=[cst.SimpleStatementLine([cst.Pass()])])
        return updated_node

    # -- scopes inside the statement -------------------------------------------------------------------------------

    def _enter(self, node: cst.CSTNode) -> None:
        if isinstance(node, cst.ListComp | cst.SetComp | cst.DictComp | cst.GeneratorExp):
            self._outside[id(node.for_in.iter)] = set()
        if node is self.own:
            self._shadowed.append(set())
            return
        text = _text(node).strip()
        try:
            inner: ast.AST = ast.parse(text).body[0]
        except SyntaxError:  # goes over several lines inside brackets
            inner = ast.parse(f"({text})").body[0]
        if isinstance(inner, ast.Expr):
            inner = inner.value
        names: set[str] = set()
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
            names = function_locals(inner)
        elif isinstance(inner, ast.Lambda):
            names = {a.arg for a in ast.walk(inner.args) if isinstance(a, ast.arg)}
        elif isinstance(inner, ast.ClassDef):
            names = bound(inner.body)
        elif isinstance(inner, COMPREHENSIONS):
            names = {n.id for g in inner.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
        self._shadowed.append(names)

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        self._not_names.add(id(node.name))
        self._enter(node)

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        self._not_names.add(id(node.name))
        self._enter(node)

    def visit_Lambda(self, node: cst.Lambda) -> None:
        self._enter(node)

    def visit_ListComp(self, node: cst.ListComp) -> None:
        self._enter(node)

    def visit_SetComp(self, node: cst.SetComp) -> None:
        self._enter(node)

    def visit_DictComp(self, node: cst.DictComp) -> None:
        self._enter(node)

    def visit_GeneratorExp(self, node: cst.GeneratorExp) -> None:
        self._outside[id(node.for_in.iter)] = set()
        self._shadowed.append(
            {
                n.id
                for g in _generators(node)
                for n in ast.walk(ast.parse(_text(g.target).strip()))
                if isinstance(n, ast.Name)
            }
        )

    def leave_FunctionDef(
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef:
        self._shadowed.pop()
        return updated_node

    def leave_ClassDef(self, original_node: cst.ClassDef, updated_node: cst.ClassDef) -> cst.ClassDef:
        self._shadowed.pop()
        return updated_node

    def leave_Lambda(self, original_node: cst.Lambda, updated_node: cst.Lambda) -> cst.Lambda:
        self._shadowed.pop()
        return updated_node

    def leave_ListComp(self, original_node: cst.ListComp, updated_node: cst.ListComp) -> cst.ListComp:
        self._shadowed.pop()
        return updated_node

    def leave_SetComp(self, original_node: cst.SetComp, updated_node: cst.SetComp) -> cst.SetComp:
        self._shadowed.pop()
        return updated_node

    def leave_DictComp(self, original_node: cst.DictComp, updated_node: cst.DictComp) -> cst.DictComp:
        self._shadowed.pop()
        return updated_node

    def leave_GeneratorExp(
        self, original_node: cst.GeneratorExp, updated_node: cst.GeneratorExp
    ) -> cst.GeneratorExp:
        self._shadowed.pop()
        return updated_node

    # -- names -----------------------------------------------------------------------------------------------------

    def visit_Attribute(self, node: cst.Attribute) -> None:
        self._not_names.add(id(node.attr))

    def visit_Arg(self, node: cst.Arg) -> None:
        if node.keyword is not None:
            self._not_names.add(id(node.keyword))

    def visit_Param(self, node: cst.Param) -> None:
        self._not_names.add(id(node.name))

    def visit_NameItem(self, node: cst.NameItem) -> None:
        self._not_names.add(id(node.name))

    def visit_ImportAlias(self, node: cst.ImportAlias) -> bool:
        return False

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        return False  # `from model import Net`: a file, whatever else is called so

    def visit_Global(self, node: cst.Global) -> bool:
        return False

    def leave_Global(
        self, original_node: cst.Global, updated_node: cst.Global
    ) -> cst.Pass | cst.RemovalSentinel:
        return cst.RemoveFromParent() if self.in_hook else updated_node  # type: ignore[return-value]

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.BaseExpression:
        name = original_node.value
        if id(original_node) in self._not_names or any(name in names for names in self._shadowed):
            return updated_node
        text = self.name_text(name)
        return updated_node if text is None or text == name else cst.parse_expression(text)

    def leave_Attribute(
        self, original_node: cst.Attribute, updated_node: cst.Attribute
    ) -> cst.BaseExpression:
        if isinstance(original_node.value, cst.Name):
            name = original_node.value.value
            if not any(name in names for names in self._shadowed):
                text = self.field_text(name, original_node.attr.value)
                if text is not None:
                    return cst.parse_expression(text)
        return updated_node

    def leave_BinaryOperation(
        self, original_node: cst.BinaryOperation, updated_node: cst.BinaryOperation
    ) -> cst.BaseExpression:
        if self.expressions:
            inner = _expression(original_node)
            text = self.expressions.get(ast.unparse(inner)) if inner is not None else None
            if text is not None:
                return cst.Name(text, lpar=updated_node.lpar, rpar=updated_node.rpar)
        return updated_node

    def leave_FormattedStringExpression(
        self, original_node: cst.FormattedStringExpression, updated_node: cst.FormattedStringExpression
    ) -> cst.FormattedStringExpression | cst.FlattenSentinel[cst.BaseFormattedStringContent]:
        """`{step=}` shows the script's own spelling, whatever the name is now."""
        if original_node.equal is None or original_node.expression.deep_equals(updated_node.expression):
            return updated_node
        written = [original_node.whitespace_before_expression, original_node.expression, original_node.equal]
        shown = cst.FormattedStringText("".join(map(_text, written)))
        plain = updated_node.conversion is None and updated_node.format_spec is None
        value = updated_node.with_changes(equal=None, conversion="r" if plain else updated_node.conversion)
        return cst.FlattenSentinel([shown, value])

    def leave_ExceptHandler(
        self, original_node: cst.ExceptHandler, updated_node: cst.ExceptHandler
    ) -> cst.ExceptHandler:
        """Ctrl-C ends a Trainer with SystemExit, after it has kept a checkpoint: the handler still runs."""
        if id(original_node) in self.interrupted:
            return updated_node.with_changes(type=cst.parse_expression("(KeyboardInterrupt, SystemExit)"))
        return updated_node

    # -- calls -----------------------------------------------------------------------------------------------------

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        func = original_node.func
        if self.of_data:
            updated_node = without_download(updated_node)
        if self.placed or (self.in_hook and isinstance(func, cst.Attribute) and func.attr.value == "numpy"):
            updated_node = self._placed(original_node, updated_node)
        if isinstance(func, cst.Attribute):
            if func.attr.value in MOVES:
                return self._device_move(original_node, updated_node)
            if self.in_hook and func.attr.value == "backward":
                return self._backward(original_node, updated_node)
        if isinstance(func, cst.Name):
            if (
                self.in_hook
                and func.value == "print"
                and not any(a.keyword for a in original_node.args if _file(a))
            ):
                return updated_node.with_changes(func=cst.parse_expression("self.print"))
            return self._variable(original_node, updated_node)
        return updated_node

    def _placed(self, original: cst.Call, updated: cst.Call) -> cst.Call:
        """`torch.zeros(n)` on the Trainer's device, and `.numpy()` from it."""
        call = _expression(original)
        assert isinstance(call, ast.Call)
        name = self.roles.imports.resolve(call.func)
        if self.placed and name in FACTORIES and not is_number(call, name):
            device = cst.parse_expression("self.device")
            if name not in WITHOUT_DEVICE:
                made = cst.parse_expression("f(device=self.device)")
                assert isinstance(made, cst.Call)
                return updated.with_changes(args=[*updated.args, made.args[0]])
            return cst.Call(cst.Attribute(updated, cst.Name("to")), [cst.Arg(device)])
        moved = self.placed or root_name(call.func) in self.batch_names
        if moved and isinstance(updated.func, cst.Attribute) and takes_from_device(call):
            on_cpu = cst.Call(cst.Attribute(updated.func.value, cst.Name("cpu")))
            return updated.with_changes(func=updated.func.with_changes(value=on_cpu))
        return updated

    def _variable(self, original: cst.Call, updated: cst.Call) -> cst.BaseExpression:
        """`Variable(x)` is x since PyTorch 0.4."""
        assert isinstance(original.func, cst.Name)
        qualified = self.roles.imports.names.get(original.func.value, "")
        if qualified not in VARIABLE or not updated.args or updated.args[0].keyword is not None:
            return updated
        wants_grad = any(
            a.keyword and a.keyword.value == "requires_grad" and _text(a.value) != "False"
            for a in updated.args
        )
        return updated if wants_grad else updated.args[0].value

    def _backward(self, original: cst.Call, updated: cst.Call) -> cst.BaseExpression:
        assert isinstance(original.func, cst.Attribute) and isinstance(updated.func, cst.Attribute)
        receiver = _expression(original.func.value)
        if receiver is not None and self.roles.imports.resolve(receiver) == "torch.autograd":
            return updated
        loss = cst.Arg(updated.func.value)
        return updated.with_changes(
            func=cst.parse_expression("self.manual_backward"), args=[loss, *updated.args]
        )

    def _device_move(self, original: cst.Call, updated: cst.Call) -> cst.BaseExpression:
        call = _expression(original)
        assert isinstance(original.func, cst.Attribute) and isinstance(updated.func, cst.Attribute)
        if not (self.in_hook and isinstance(call, ast.Call) and is_device_move(call, self.roles, self.scope)):
            return updated
        assert isinstance(call.func, ast.Attribute)
        moved = self.roles.of(call.func.value, self.scope) in (Role.MODEL, Role.CRITERION)
        if moved or root_name(call.func.value) in self.batch_names or id(original) in self._networks:
            if moves_to_cpu(self.scope, self.roles):  # from where it has to come back
                self_device = cst.Arg(cst.parse_expression("self.device"))
                return updated.with_changes(
                    func=updated.func.with_changes(attr=cst.Name("to")), args=[self_device]
                )
            return updated.func.value
        if call.func.attr == "cuda":
            return updated.with_changes(
                func=updated.func.with_changes(attr=cst.Name("to")),
                args=[cst.Arg(cst.parse_expression("self.device"))],
            )
        return updated


def without_download(call: cst.Call) -> cst.Call:
    """A call without its `download=True`."""
    kept = [
        a for a in call.args if not (a.keyword and a.keyword.value == "download" and _text(a.value) == "True")
    ]
    if len(kept) == len(call.args):
        return call
    if kept:
        kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    return call.with_changes(args=kept)


def root_name(node: ast.expr) -> str | None:
    """The name that a chain of attributes, method calls and subscripts starts from."""
    while True:
        match node:
            case (
                ast.Attribute(value=inner)
                | ast.Subscript(value=inner)
                | ast.Call(func=ast.Attribute(value=inner))
            ):
                node = inner
            case ast.Name(id=name):
                return name
            case _:
                return None


def is_device_move(call: ast.Call, roles: Roles, scope: Scope) -> bool:
    """Whether a call only moves its receiver: `x.cuda()`, `x.to(device)`, `x.to("cuda", non_blocking=True)`."""
    if not isinstance(call.func, ast.Attribute):
        return False
    extra = {k.arg for k in call.keywords} - {"non_blocking", "device", "async"}
    if extra:
        return False
    if call.func.attr == "cuda":
        return True
    if call.func.attr != "to":
        return False
    devices = [*call.args, *(k.value for k in call.keywords if k.arg == "device")]
    return len(devices) == 1 and roles.of(devices[0], scope) is Role.DEVICE


def moves_to_cpu(scope: Scope, roles: Roles) -> bool:
    """Whether code of a scope takes a model to the CPU: `model.eval().cpu()` before its weights are saved."""
    for node in walk_scope(scope.body):
        match node:
            case ast.Call(func=ast.Attribute(value=owner, attr="cpu"), args=[]) if (
                roles.of(owner, scope) is Role.MODEL
            ):
                return True
    return False


def is_self_assignment(statement: cst.BaseSmallStatement) -> bool:
    """`x = x` and `a, b = a, b`: what is left when the right side only moved something."""
    if not isinstance(statement, cst.Assign) or len(statement.targets) != 1:
        return False
    left, right = (
        _text(n).replace("(", "").replace(")", "").replace(" ", "")
        for n in (statement.targets[0].target, statement.value)
    )
    return left == right


def is_empty(block: cst.BaseSuite) -> bool:
    """A block that does nothing."""
    return all(
        isinstance(line, cst.SimpleStatementLine) and all(isinstance(s, cst.Pass) for s in line.body)
        for line in block.body
    )


def _generators(node: cst.GeneratorExp) -> list[cst.CompFor]:
    found: list[cst.CompFor] = []
    inner: cst.CompFor | None = node.for_in
    while inner is not None:
        found.append(inner)
        inner = inner.inner_for_in
    return found


def _file(arg: cst.Arg) -> bool:
    return arg.keyword is not None and arg.keyword.value == "file"


def _text(node: cst.CSTNode) -> str:
    return cst.Module([]).code_for_node(node)


def _expression(node: cst.BaseExpression) -> ast.expr | None:
    try:
        return ast.parse(_text(node).strip(), mode="eval").body
    except SyntaxError:  # a continuation that needs its brackets
        return ast.parse(f"({_text(node)})", mode="eval").body


def by_one_process(statement: cst.SimpleStatementLine) -> cst.If:
    """A statement of a hook that the first process runs alone."""
    return cst.If(
        cst.parse_expression("self.trainer.is_global_zero"),
        cst.IndentedBlock([statement.with_changes(leading_lines=[])]),
        leading_lines=statement.leading_lines,
    )
