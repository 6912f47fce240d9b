"""A converted notebook as a notebook again: the user's cells as they were, the classes of the result in cells of their own."""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from litify_converter.convert import Conversion
from litify_converter.notebook import Joined, is_command, join
from litify_converter.refusals import SelfCheckFailed
from litify_linter.notebook import as_source, dumped, read_notebook
from litify_linter.reading.scopes import bound

# What a cell's metadata say of its last run or of what it showed then.
_OF_A_RUN = ("ExecuteTime", "execution", "executionInfo", "outputId", "scrolled")
_DEFINITION = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass
class _Made:
    """A code cell of the result. `origin`: the cell that its statements come from, None for what convert wrote."""

    origin: int | None
    text: str


def as_notebook(conversion: Conversion) -> str:
    """The file of the converted notebook: nbformat 4, outputs dropped, everything else that is not code as it was.

    Raises:
        SelfCheckFailed: the cells don't read as the result does.
    """
    joined = conversion.joined
    assert joined is not None, "only a notebook becomes a notebook"
    pieces = list(_pieces(conversion.text))
    made = _grouped(pieces, _Origins(joined, conversion.text).of([statement for statement, _ in pieces]))
    document = deepcopy(joined.notebook.document)
    document["cells"] = _Writer(joined).cells(made)
    metadata = document.get("metadata")
    if isinstance(metadata, dict):
        metadata.pop("widgets", None)  # what widgets showed
    data = dumped(document)
    _check(data, conversion.text)
    return data.decode("utf-8", errors="surrogatepass")


# -- the result, statement by statement ----------------------------------------------------------------------------------


def _pieces(text: str) -> Iterator[tuple[ast.stmt, str]]:
    """The top-level statements with their lines, the comments and blank lines before each among them.

    Of several statements on one line it is the last.
    """
    lines = text.split("\n")
    done = 0
    body = ast.parse(text).body
    for number, statement in enumerate(body):
        last = statement.end_lineno or statement.lineno
        if number + 1 < len(body) and body[number + 1].lineno == last:
            continue  # `a; b`
        while last < len(lines) and lines[last][:1] in (" ", "\t"):  # a comment at the end of a block
            last += 1
        if number + 1 == len(body):
            last = len(lines)
        yield statement, "\n".join(lines[done:last])
        done = last


class _Origins:
    """Which cell a statement of the result comes from."""

    def __init__(self, joined: Joined, text: str) -> None:
        stays = {ast.dump(statement) for statement in ast.parse(text).body}
        self.by_text: dict[str, list[int]] = {}
        self.by_name: dict[str, int] = {}
        self.loops: list[int] = []  # cells of loops that are gone from the top level: of training
        self.shown: list[int] = []  # cells that end with a value to show which has another name in the result
        body = ast.parse(joined.text).body
        self.first = joined.place(body[0].lineno)[0] or 1  # the first cell with code
        for statement in body:
            cell, _ = joined.place(statement.lineno)
            assert cell is not None
            same = ast.dump(statement)
            self.by_text.setdefault(same, []).append(cell)
            for name in bound([statement]):
                self.by_name.setdefault(name, cell)
            if isinstance(statement, ast.For | ast.While | ast.With | ast.Try) and same not in stays:
                self.loops.append(cell)
            elif _shows(statement) and same not in stays:
                self.shown.append(cell)

    def of(self, pieces: list[ast.stmt]) -> list[int | None]:
        """The cell of each statement; None for a class that convert wrote."""
        found: list[int | None] = []
        first = last = self.first
        for statement in pieces:
            found.append(self._known(statement, last))
            last = found[-1] or last
        last = first
        for number, statement in enumerate(pieces):
            if found[number] is None and not isinstance(statement, _DEFINITION):
                # The Trainer goes where the loop was, what is made for it before that goes with what stands behind it.
                following = next((cell for cell in found[number:] if cell is not None and cell >= last), None)
                cells = self.shown if _shows(statement) else self.loops
                loop = next((cell for cell in cells if cell >= last), last)
                is_import = isinstance(statement, ast.Import | ast.ImportFrom)
                found[number] = last if is_import else min(loop, following or loop)
            last = found[number] or last
        return found

    def _known(self, statement: ast.stmt, last: int) -> int | None:
        same = self.by_text.get(ast.dump(statement))
        if same:
            found = next((cell for cell in same if cell >= last), same[0])
            same.remove(found)
            return found
        cells = [self.by_name[name] for name in bound([statement]) if name in self.by_name]
        if isinstance(statement, _DEFINITION):
            return cells[0] if cells else None
        return max((cell for cell in cells if cell >= last), default=None)


def _shows(statement: ast.stmt) -> bool:
    """`model`: a statement for a notebook to show what it names."""
    return isinstance(statement, ast.Expr) and not isinstance(statement.value, ast.Call | ast.Constant)


def _grouped(pieces: list[tuple[ast.stmt, str]], origins: list[int | None]) -> list[_Made]:
    """Neighbours that come from one cell stay together."""
    made: list[_Made] = []
    for (_, text), origin in zip(pieces, origins, strict=True):
        if made and origin is not None and made[-1].origin == origin:
            made[-1].text += f"\n{text}"
        else:
            made.append(_Made(origin, text))
    return made


# -- cells ---------------------------------------------------------------------------------------------------------------


class _Writer:
    """Makes the cells of the result out of its pieces and of what the notebook holds beside code."""

    def __init__(self, joined: Joined) -> None:
        self.joined = joined
        self.before: list[Any] = joined.notebook.document["cells"]
        self.with_ids = any(isinstance(c, dict) and "id" in c for c in self.before)
        self.ids = {c.get("id") for c in self.before if isinstance(c, dict)}
        self.used: set[int] = set()  # numbers of cells whose place a cell of the result has taken
        self.commands = {
            said.stands[0]: said.command.text
            for said in joined.said
            if said.meaning.code is None and not said.command.is_cell
        }

    def cells(self, made: list[_Made]) -> list[dict[str, Any]]:
        """All cells: what stood before a cell stands before the first that is left of it and of those behind."""
        kept = deque(self._kept())
        cells = []
        for one in made:
            while one.origin is not None and kept and kept[0][0] <= one.origin:
                cells.append(kept.popleft()[1])
            cells.append(self._code(one))
        return cells + [cell for _, cell in kept]

    def _kept(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Cells without a statement, each with its number."""
        code = {cell.number: cell for cell in self.joined.notebook.cells}
        with_statements = {self.joined.place(s.lineno)[0] for s in ast.parse(self.joined.text).body}
        for number, cell in enumerate(self.before, 1):
            if number not in code:
                yield number, cell
            elif number not in with_statements and code[number].source.strip():
                yield number, self._fresh(number, code[number].source)

    def _code(self, one: _Made) -> dict[str, Any]:
        lines = []
        for number, line in enumerate(one.text.strip("\n").split("\n")):
            command = self.commands.get(line.strip())
            if command is None:
                lines.append(line)
            elif number == 0 or not command.startswith("%%"):  # a magic of a cell is its first line
                lines.append(line[: len(line) - len(line.lstrip())] + command)
        return self._fresh(one.origin if one.origin not in self.used else None, "\n".join(lines))

    def _fresh(self, number: int | None, source: str) -> dict[str, Any]:
        """A code cell without outputs, with the metadata of the cell that it was."""
        before = self.before[number - 1] if number is not None else {}
        if number is not None:
            self.used.add(number)
        metadata = before.get("metadata")
        metadata = dict(metadata) if isinstance(metadata, dict) else {}
        for key in _OF_A_RUN:
            metadata.pop(key, None)
        cell: dict[str, Any] = {"cell_type": "code", "execution_count": None}
        if self.with_ids:
            cell["id"] = before.get("id") or self._new_id()
        return {**cell, "metadata": metadata, "outputs": [], "source": as_source(source)}

    def _new_id(self) -> str:
        number = 1
        while f"litify-{number}" in self.ids:
            number += 1
        self.ids.add(f"litify-{number}")
        return f"litify-{number}"


def _check(data: bytes, text: str) -> None:
    """The cells, read again, are the result."""
    cells = join(read_notebook(data), to_notebook=True).text
    if _without_commands(cells) != _without_commands(text):
        raise SelfCheckFailed("the cells of the result don't read as the result does")


def _without_commands(text: str) -> str:
    return ast.dump(_WithoutCommands().visit(ast.parse(text)))


class _WithoutCommands(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if is_command(node) else node
