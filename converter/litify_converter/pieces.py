"""Pieces of libcst: statements from text, comments kept, classes and functions around statements."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import libcst as cst

from litify_converter.ir import TRAINER, Scope
from litify_converter.read import CstStatement, Script
from litify_converter.rewrite import Rewriter

Statements = list[cst.BaseStatement]
# What the environment says of a process, for code that stands where no Trainer is at hand.
ENVIRONMENT = {
    "is_global_zero": '(int(os.environ.get("RANK", 0)) == 0)',
    "global_rank": 'int(os.environ.get("RANK", 0))',
    "local_rank": 'int(os.environ.get("LOCAL_RANK", 0))',
    "world_size": 'int(os.environ.get("WORLD_SIZE", 1))',
}


def statements(text: str) -> Statements:
    """Source text as libcst statements."""
    return list(cst.parse_module(text).body)


def rewritten(node: cst.BaseStatement, rewriter: Rewriter) -> Statements:
    """A statement after rewriting: none, one or more."""
    assert isinstance(node, CstStatement)
    return list(cst.Module([node]).visit(rewriter).body)


def class_statement(name: str, base: str, body: Sequence[cst.BaseStatement]) -> Statements:
    """`class <name>(<base>)` with methods."""
    made = statements(f"class {name}({base}):\n    pass\n")[0]
    assert isinstance(made, cst.ClassDef)
    first = [without_blank_lines(s) for s in body[:1]]
    return [made.with_changes(body=cst.IndentedBlock([*first, *body[1:]]))]


def main_function(body: Statements) -> Statements:
    """`def main()` around statements, and its call."""
    function, guard = statements('def main():\n    pass\n\n\nif __name__ == "__main__":\n    main()\n')
    assert isinstance(function, cst.FunctionDef)
    body = [without_blank_lines(body[0]), *body[1:]] if body else statements("pass")
    return [function.with_changes(body=cst.IndentedBlock(body)), guard]


def as_method(made: Statements, name: str) -> cst.FunctionDef:
    """A function as a method of that name."""
    function = made[0]
    assert isinstance(function, cst.FunctionDef)
    params, first = function.params, cst.Param(cst.Name("self"))
    if params.posonly_params:
        params = params.with_changes(posonly_params=[first, *params.posonly_params])
    else:
        params = params.with_changes(params=[first, *params.params])
    comments = [line for line in function.leading_lines if line.comment is not None]
    return function.with_changes(
        name=cst.Name(name), params=params, leading_lines=[cst.EmptyLine(indent=False), *comments]
    )


def interrupt_handlers(script: Script, entry: Scope, outer: ast.stmt) -> frozenset[int]:
    """The `except KeyboardInterrupt` handlers around the loop."""
    found = set()
    for node in ast.walk(entry):
        if isinstance(node, ast.Try) and any(n is outer for s in node.body for n in ast.walk(s)):
            theirs = cst.ensure_type(script.cst_of[node], cst.Try).handlers
            for ours, handler in zip(node.handlers, theirs, strict=True):
                if isinstance(ours.type, ast.Name) and ours.type.id == "KeyboardInterrupt":
                    found.add(id(handler))
    return frozenset(found)


def opened_guard(made: Statements) -> Statements:
    """The statements under `if __name__ == "__main__":`."""
    return [
        s
        for one in made
        if isinstance(one, cst.If)
        for s in one.body.body
        if isinstance(s, cst.BaseStatement)
    ]


def with_comments(body: Statements, leading: Sequence[cst.EmptyLine]) -> Statements:
    """Puts comment lines before the first statement."""
    if body and leading and isinstance(body[0], CstStatement):
        return [body[0].with_changes(leading_lines=[*leading, *body[0].leading_lines]), *body[1:]]
    return body


def comments_of(node: CstStatement) -> list[cst.EmptyLine]:
    """The lines before a statement, and its trailing comment as one more."""
    lines = list(node.leading_lines)
    if isinstance(node, cst.SimpleStatementLine) and node.trailing_whitespace.comment is not None:
        lines.append(cst.EmptyLine(comment=node.trailing_whitespace.comment))
    return lines


def header_comments(node: CstStatement) -> list[cst.EmptyLine]:
    """The comment lines before a loop, and the comment behind its colon, as lines of their own."""
    lines = [line for line in node.leading_lines if line.comment is not None]
    body = getattr(node, "body", None)
    if isinstance(body, cst.IndentedBlock) and body.header.comment is not None:
        lines.append(cst.EmptyLine(comment=body.header.comment))
    return lines


def loop_comments(node: CstStatement) -> list[cst.EmptyLine]:
    """The lines before a loop as they are, and the comment behind its colon as one more."""
    behind = header_comments(node)[len([li for li in node.leading_lines if li.comment is not None]) :]
    return [*node.leading_lines, *behind]


def comments_above(starts: Sequence[CstStatement], loop: CstStatement) -> list[cst.EmptyLine]:
    """The lines before a loop, and before them those of statements that started its values and are gone."""
    lines = [line for start in starts for line in start.leading_lines]
    return [*lines, *(header_comments(loop) if any(li.comment for li in lines) else loop_comments(loop))]


def footer_comments(node: CstStatement) -> list[cst.EmptyLine]:
    """The comment lines behind the last statement of a block."""
    body = getattr(node, "body", None)
    lines = body.footer if isinstance(body, cst.IndentedBlock) else []
    return [line for line in lines if line.comment is not None]


def without_blank_lines(statement: cst.BaseStatement) -> cst.BaseStatement:
    """The first statement of a block: its comments stay, blank lines before it go."""
    if isinstance(statement, CstStatement):
        return statement.with_changes(
            leading_lines=[li for li in statement.leading_lines if li.comment is not None]
        )
    return statement


def is_import(statement: cst.CSTNode) -> bool:
    return isinstance(statement, cst.SimpleStatementLine) and any(
        isinstance(s, cst.Import | cst.ImportFrom) for s in statement.body
    )


def is_docstring(statement: cst.CSTNode) -> bool:
    return isinstance(statement, cst.SimpleStatementLine) and any(
        isinstance(s, cst.Expr) and isinstance(s.value, cst.SimpleString) for s in statement.body
    )


def without_trainer(module: cst.Module) -> str:
    """The code; fields of the Trainer in functions that stay outside of the hooks are read from the environment."""
    code = module.code
    return module.visit(_Environment()).code if TRAINER in code else code


class _Environment(cst.CSTTransformer):
    def __init__(self) -> None:
        super().__init__()
        self._quotes: list[str] = []  # of the f-strings around: up to Python 3.11 they can't be used inside

    def visit_FormattedString(self, node: cst.FormattedString) -> None:
        self._quotes.append(node.start[-1])

    def leave_FormattedString(
        self, original_node: cst.FormattedString, updated_node: cst.FormattedString
    ) -> cst.FormattedString:
        self._quotes.pop()
        return updated_node

    def leave_Attribute(
        self, original_node: cst.Attribute, updated_node: cst.Attribute
    ) -> cst.BaseExpression:
        value = ENVIRONMENT.get(updated_node.attr.value)
        if (
            value is None
            or not isinstance(updated_node.value, cst.Name)
            or updated_node.value.value != TRAINER
        ):
            return updated_node
        return cst.parse_expression(value.replace('"', "'") if '"' in self._quotes else value)
