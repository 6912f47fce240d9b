"""Stage 1, read: a file -> Script (text, ast, libcst, imports, roles), with every statement paired in both trees."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import libcst as cst

from litify_converter.containers import ContainerRoles
from litify_converter.ir import Note
from litify_converter.refusals import UnreadableScript
from litify_linter.reading.imports import Imports

_TryStar = getattr(ast, "TryStar", ast.Try)  # `except*`, Python 3.11
CstStatement = cst.SimpleStatementLine | cst.BaseCompoundStatement


@dataclass(frozen=True, eq=False)
class Script:
    """A training script, read in two ways: `tree` decides, `module` is what is rewritten.

    A script that was lowered (see `litify_converter.lowering`) knows its original, and the line there of each of its own.
    """

    path: Path
    text: str
    tree: ast.Module
    module: cst.Module
    imports: Imports
    roles: ContainerRoles
    cst_of: dict[ast.stmt, CstStatement]  # one libcst statement per ast statement
    original: Script | None = None
    lines: tuple[int, ...] = ()  # of a lowered script: line -> line of the original, both 1-based
    notes: tuple[Note, ...] = ()  # what lowering has to report; lines of the original
    trainer: dict[str, str] = field(default_factory=dict)  # Trainer arguments that lowering found

    @property
    def stem(self) -> str:
        return self.path.stem

    def original_line(self, line: int | None) -> int | None:
        """The line of the original script that a line of this one was made from."""
        if not self.lines or not line:
            return line
        return self.lines[min(line, len(self.lines)) - 1]


def read(path: Path) -> Script:
    """Read a script.

    Raises:
        UnreadableScript: no such file, not text, empty, Python 2 or another syntax error.
    """
    try:
        raw = path.read_bytes()
    except IsADirectoryError:
        raise UnreadableScript("it is a folder; name a Python file") from None
    except OSError as error:
        raise UnreadableScript(f"cannot read the file: {error.strerror}") from None
    if b"\0" in raw:
        raise UnreadableScript("not a text file")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        text = io.TextIOWrapper(io.BytesIO(raw), encoding, newline=None).read()
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        raise UnreadableScript(f"cannot decode the file: {error}") from None
    if not text.strip():
        raise UnreadableScript("the file is empty")
    return parse(text, path)


def parse(text: str, path: Path = Path("train.py")) -> Script:
    """Parse source text; raises UnreadableScript with the line of a syntax error."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise UnreadableScript(_syntax_message(text, error), error.lineno) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise UnreadableScript(f"cannot parse: {error}") from None
    try:
        module = cst.parse_module(text)
        if not _one_statement_per_line(text, tree):
            module = module.visit(_OneStatementPerLine())
    except (cst.ParserSyntaxError, RecursionError) as error:
        raise UnreadableScript(f"cannot parse: {str(error).splitlines()[0]}") from None
    imports = Imports(tree)
    theirs = list(_cst_statements(module.body))
    ours = list(_ast_statements(tree.body))
    if len(theirs) != len(ours):
        raise UnreadableScript("cannot parse: the two parsers disagree about the statements")
    return Script(
        path, text, tree, module, imports, ContainerRoles(tree, imports), dict(zip(ours, theirs, strict=True))
    )


def _syntax_message(text: str, error: SyntaxError) -> str:
    python2 = "Missing parentheses in call" in (error.msg or "") or (
        "except" in (error.text or "") and "," in (error.text or "")
    )
    if python2:
        return "Python 2 source: convert it to Python 3 first (the tool 2to3 does most of it)"
    return f"syntax error: {error.msg}"


class _OneStatementPerLine(cst.CSTTransformer):
    """`a; b` becomes two lines and `if x: y` a block, so that each statement can be moved alone."""

    def on_visit(self, node: cst.CSTNode) -> bool:
        return not isinstance(node, cst.SimpleStatementLine | cst.SimpleStatementSuite | cst.BaseExpression)

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.SimpleStatementLine | cst.FlattenSentinel[cst.SimpleStatementLine]:
        if len(updated_node.body) == 1:
            only = updated_node.body[0]
            if isinstance(only.semicolon, cst.MaybeSentinel):
                return updated_node
            return updated_node.with_changes(body=[only.with_changes(semicolon=cst.MaybeSentinel.DEFAULT)])
        return cst.FlattenSentinel(_lines(updated_node.body, updated_node))

    def leave_SimpleStatementSuite(
        self, original_node: cst.SimpleStatementSuite, updated_node: cst.SimpleStatementSuite
    ) -> cst.IndentedBlock:
        return cst.IndentedBlock(body=_lines(updated_node.body, None, updated_node.trailing_whitespace))


def _lines(
    small: Sequence[cst.BaseSmallStatement],
    line: cst.SimpleStatementLine | None,
    trailing: cst.TrailingWhitespace | None = None,
) -> list[cst.SimpleStatementLine]:
    lines = [cst.SimpleStatementLine([s.with_changes(semicolon=cst.MaybeSentinel.DEFAULT)]) for s in small]
    if line is not None:
        lines[0] = lines[0].with_changes(leading_lines=line.leading_lines)
        trailing = line.trailing_whitespace
    if trailing is not None:
        lines[-1] = lines[-1].with_changes(trailing_whitespace=trailing)
    return lines


def _ast_statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        yield statement
        match statement:
            case ast.Try() | _TryStar():
                yield from _ast_statements(statement.body)
                for handler in statement.handlers:
                    yield from _ast_statements(handler.body)
                yield from _ast_statements(statement.orelse)
                yield from _ast_statements(statement.finalbody)
            case ast.Match():
                for case in statement.cases:
                    yield from _ast_statements(case.body)
            case _:
                yield from _ast_statements(getattr(statement, "body", []))
                yield from _ast_statements(getattr(statement, "orelse", []))


def _cst_statements(body: Iterable[cst.CSTNode]) -> Iterator[CstStatement]:
    """The same statements in the same order as `_ast_statements` gives."""
    for node in body:
        if isinstance(node, CstStatement):
            yield node
        if isinstance(node, cst.SimpleStatementLine):
            continue  # no statement inside an expression
        if isinstance(node, cst.Try | cst.TryStar):
            inner: Iterable[cst.CSTNode | None] = [node.body, *node.handlers, node.orelse, node.finalbody]
        elif isinstance(node, cst.Match):
            inner = node.cases
        elif isinstance(node, cst.BaseSuite):
            inner = node.body
        else:
            inner = [getattr(node, "body", None), getattr(node, "orelse", None)]
        yield from _cst_statements(one for one in inner if one is not None)


def _one_statement_per_line(text: str, tree: ast.Module) -> bool:
    """Whether every statement surely has its line for itself; False where only the exact parser can tell."""
    if ";" in text:
        return False
    lines = text.split("\n")
    return all(not lines[s.lineno - 1][: s.col_offset].strip() for s in _ast_statements(tree.body))
