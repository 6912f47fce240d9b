"""Stage 1 for notebooks: the code cells joined to one script, IPython's lines as comments or as the Python they stand for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import libcst as cst

from litify_converter.ir import Note
from litify_converter.magics import Meaning, meaning
from litify_converter.refusals import NotebookOnly, UnreadableScript
from litify_linter.ipython import Command, commands
from litify_linter.notebook import PYTHON, Cell, Notebook, read_notebook
from litify_linter.reading.scopes import Function
from litify_linter.reading.source import UnreadableSource, split_lines
from litify_linter.reading.source import parse as parsed

SUFFIX = ".ipynb"
COMMAND = "IPYTHON__"  # a call that stands for a command, so that it stays where it is in the order of things
_LAST_RESULTS = re.compile(r"_{1,3}|_i{1,3}|_\d+|_i\d+|In|Out")  # names that IPython binds


@dataclass(frozen=True)
class Said:
    """A command of a cell, what it means, and the lines that stand for it in the script: comments, Python, or, in what becomes
    a notebook again, something from which the command is made anew.
    """

    cell: int
    command: Command
    meaning: Meaning
    stands: tuple[str, ...]

    @property
    def stays_a_cell(self) -> bool:
        """A cell that can stand in a notebook as it is, whatever the file that it writes is for."""
        return self.command.text.startswith(("%%writefile", "%%file"))

    @property
    def quoted(self) -> str:
        first = self.command.text.strip().splitlines()[0].rstrip(" \\")
        return f"`{first}`" if len(first) <= 60 else f"`{first[:57]}...`"


@dataclass(frozen=True)
class Joined:
    """A notebook as one script.

    `places`: for each line of `text` the cell (among all of the notebook, from 1) and the line in it. `refusal`: the first
    thing that can't be said in a script, if there is any; it counts only where there is something to convert.
    """

    notebook: Notebook
    text: str
    places: tuple[tuple[int, int], ...]
    said: tuple[Said, ...]
    notes: tuple[Note, ...]
    refusal: NotebookOnly | None

    def place(self, line: int | None) -> tuple[int | None, int | None]:
        """The cell and the line in it of a line of the text; None and None for none."""
        return self.places[min(line, len(self.places)) - 1] if line else (None, None)

    def told(self, result: str, to_notebook: bool) -> list[Note]:
        """What became of IPython's lines in the result; in a notebook those that stay as they are need no word."""
        lines = {line.strip() for line in result.splitlines()}
        notes = []
        for one in self.said:
            kept = one.stands[0] in lines
            if (
                to_notebook
                and one.meaning.code is None
                and (kept or not one.command.text.startswith("%%time"))
            ):
                continue
            became = (
                "is now Python" if one.meaning.code else "is kept as a comment" if kept else "is left out"
            )
            line = self.places.index((one.cell, one.command.first)) + 1
            notes.append(Note(one.meaning.kind, line, f"{one.quoted} {became}: {one.meaning.note}"))
        return notes


def is_command(statement: ast.stmt) -> bool:
    """Whether a statement stands for a command."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Name(id=name))):
            return name == COMMAND
    return False


def is_command_line(node: cst.CSTNode) -> bool:
    """The same of libcst's statements."""
    match node:
        case cst.SimpleStatementLine(body=[cst.Expr(value=cst.Call(func=cst.Name(value=name)))]):
            return name == COMMAND
    return False


def is_notebook(path: Path) -> bool:
    """Whether a file is to be read as a notebook, by its name."""
    return path.suffix == SUFFIX


def join_file(path: Path, to_notebook: bool = False) -> Joined:
    """The notebook in a file, joined; see `join`. Raises UnreadableScript."""
    try:
        data = path.read_bytes()
    except IsADirectoryError:
        raise UnreadableScript("it is a folder; name a notebook") from None
    except OSError as error:
        raise UnreadableScript(f"cannot read the file: {error.strerror}") from None
    try:
        notebook = read_notebook(data)
    except UnreadableSource as error:
        raise UnreadableScript(error.message) from None
    if notebook.language not in PYTHON:
        raise UnreadableScript(f"the notebook's language is {notebook.language}, not Python")
    if not any(cell.source.strip() for cell in notebook.cells):
        raise UnreadableScript("the notebook has no code")
    return join(notebook, to_notebook)


def join(notebook: Notebook, to_notebook: bool = False) -> Joined:
    """The code cells of a notebook as one script, in their order.

    Args:
        to_notebook: the result becomes a notebook again: cells without a statement are left out here, being kept there as
            they are, and what a cell shows by its last line stays.

    Raises:
        UnreadableScript: a cell is no Python; it names cell and line.
    """
    joining = _Joining(to_notebook)
    for cell in notebook.cells:
        joining.add(cell)
    text = "\n".join(joining.lines).rstrip("\n") + "\n"
    places = joining.places
    tree = ast.parse(text)
    shows = not to_notebook and "display" in _unbound(tree)
    needed = joining.needed | ({"display"} if shows else set())
    at, imports = _missing_imports(tree, needed)
    if imports:
        lines = text.split("\n")
        text = "\n".join([*lines[:at], *imports, *lines[at:]])
        places[at:at] = [places[min(at, len(places) - 1)]] * len(imports)
        tree = ast.parse(text)
    refusals = [*joining.refusals(places), *_of_notebooks_only(tree, joining.stored, to_notebook)]
    first = min(refusals, key=lambda refusal: refusal.line or 0, default=None)
    notes = [_shown(places, *shown) for shown in joining.shown]
    if shows:
        line = next(n.lineno for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == "display")
        notes.append(Note("look", line, "display() is imported from IPython, which a script needs then"))
    notes += _run_in_another_order(notebook, places)
    return Joined(notebook, text, tuple(places), tuple(joining.said), tuple(notes), first)


@dataclass
class _Joining:
    """The lines so far, cell by cell."""

    to_notebook: bool
    lines: list[str] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    shown: list[tuple[int, int, str]] = field(default_factory=list)  # cell, line, text of what was taken out
    needed: set[str] = field(default_factory=set)  # names that the result has to import
    stored: dict[str, Said] = field(default_factory=dict)  # name -> the command that binds it
    any_statement: bool = False

    def add(self, cell: Cell) -> None:
        source = without_indent(cell.source.rstrip())
        lines, said = self._python(cell.number, source)
        tree = _parsed(lines, cell.number)
        self.said += said
        self._move_future(tree, lines)
        if self.to_notebook and all(map(is_command, tree.body)):
            lines = [""] * len(lines)
        if not self.to_notebook:
            self._take_out_shown(cell.number, tree, lines)
        self.any_statement |= bool(tree.body)
        self.lines += [*lines, ""]
        count = len(lines)
        self.places += [(cell.number, min(number, count)) for number in range(1, count + 2)]

    def _python(self, number: int, source: str) -> tuple[list[str], list[Said]]:
        """A cell's lines with comments or Python for those of IPython."""
        found = commands(source)
        for in_blocks in ("", "pass  "):  # where a command is all that a block has
            lines, said = split_lines(source), []
            for command in found:
                what = meaning(command, not self.any_statement and command.first == 1)
                stands = [what.code] if what.code is not None else self._stands_for(number, command)
                if command.indent and stands[0].startswith("#"):
                    stands[0] = in_blocks + stands[0]
                blank = [""] * (command.last - command.first + 1 - len(stands))
                lines[command.first - 1 : command.last] = [
                    *(command.indent + line for line in stands),
                    *blank,
                ]
                said.append(Said(number, command, what, tuple(stands)))
            try:
                parsed("\n".join(lines))
                break
            except UnreadableSource:
                continue
        for one in said:
            self.needed |= {"os"} if (one.meaning.code or "").startswith("os.") else set()
            if one.meaning.stored:
                self.stored[one.meaning.stored] = one
        return lines, said

    def _move_future(self, tree: ast.Module, lines: list[str]) -> None:
        """In a notebook each cell may begin with `from __future__`, in a script only the first line may."""
        for statement in tree.body if self.any_statement else []:
            if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
                self.needed |= {"annotations"} & {alias.name for alias in statement.names}
                lines[statement.lineno - 1] = ""

    def _stands_for(self, cell: int, command: Command) -> list[str]:
        """What a command that Python can't say leaves in the script, without its indent."""
        if self.to_notebook and not command.text.startswith("%%"):
            return [f"{COMMAND}({cell}, {command.first})"]
        lines = [f"# {line.rstrip()}".rstrip() for line in split_lines(command.text)]
        if self.to_notebook and not command.is_cell:
            return [f"# cell {cell}: {lines[0][2:]}"]  # to be told from a comment of the user's
        return lines

    def _take_out_shown(self, cell: int, tree: ast.Module, lines: list[str]) -> None:
        """The value that a cell ends with is shown by the notebook; a script only looks at it."""
        match tree.body[-1:]:
            case [ast.Expr(value=value) as last] if _only_looks(value):
                first, end = last.lineno, last.end_lineno or last.lineno
                alone = not lines[first - 1][: last.col_offset].strip()
                if alone and all(s.end_lineno != first for s in tree.body[:-1]):
                    self.shown.append((cell, first, ast.unparse(value)))
                    lines[first - 1 : end] = [""] * (end - first + 1)

    def refusals(self, places: list[tuple[int, int]]) -> Iterator[NotebookOnly]:
        for one in self.said:
            if one.meaning.unknown and not (self.to_notebook and one.stays_a_cell):
                line = places.index((one.cell, one.command.first)) + 1
                yield NotebookOnly(f"{one.quoted}: {one.meaning.unknown}", line)


def without_indent(source: str) -> str:
    """IPython takes the indent of a cell's first line off all of its lines."""
    indent = re.match(r"(?:[ \t]*\n)*([ \t]*)", source)
    if indent is None or not indent[1]:
        return source
    return re.sub(rf"^{indent[1]}", "", source, flags=re.MULTILINE)


def _parsed(lines: list[str], cell: int) -> ast.Module:
    try:
        return parsed("\n".join(lines))
    except UnreadableSource as error:
        unreadable = UnreadableScript(error.message, min(error.line, len(lines)))
        unreadable.cell = cell
        raise unreadable from None


def _only_looks(value: ast.expr) -> bool:
    """`model`, `x.shape`: nothing that draws a random number or changes anything, as `dataset[0]` may."""
    match value:
        case ast.Name() | ast.Constant(value=int() | float() | None):
            return True
        case ast.Attribute(value=inner):
            return _only_looks(inner)
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return all(_only_looks(e) for e in elements)
    return False


def _shown(places: list[tuple[int, int]], cell: int, line: int, text: str) -> Note:
    """A script shows nothing by naming it."""
    short = text if len(text) <= 60 else f"{text[:57]}..."
    at = places.index((cell, line)) + 1
    return Note("non-essential", at, f"`{short}` is left out: it was there for the notebook to show")


def _unbound(tree: ast.Module) -> dict[str, int]:
    """Names that are read and that no scope of the program binds -> the first line."""
    bound, first = set(), dict[str, int]()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                first[name] = min(node.lineno, first.get(name, node.lineno))
            case ast.Name(id=name) | ast.arg(arg=name) | ast.ExceptHandler(name=str() as name):
                bound.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                bound.add(name)
            case ast.alias(name=name, asname=other):
                bound.add(other or name.partition(".")[0])
    return {name: line for name, line in first.items() if name not in bound}


_IMPORTS = {
    "annotations": "from __future__ import annotations",
    "display": "from IPython.display import display",
    "os": "import os",
}


def _run_in_another_order(notebook: Notebook, places: list[tuple[int, int]]) -> Iterator[Note]:
    """The first cell that was run before one above it, by the numbers that Jupyter shows beside them."""
    latest = 0
    for cell in notebook.cells:
        count = notebook.document["cells"][cell.number - 1].get("execution_count")
        if not isinstance(count, int) or not cell.source.strip():
            continue
        if count < latest:
            line = places.index((cell.number, 1)) + 1
            text = f"this cell was run as number {count}, one above it as {latest}; convert goes from top to bottom"
            yield Note("look", line, text)
            return
        latest = count


def _missing_imports(tree: ast.Module, needed: set[str]) -> tuple[int, list[str]]:
    """Import lines for names that the program has no import of, and how many lines of it they come after."""
    body = [s for s in tree.body if not _comes_first(s)]
    at = min([body[0].lineno, *(d.lineno for d in getattr(body[0], "decorator_list", []))]) - 1 if body else 0
    unbound = _unbound(tree)
    has = {
        alias.asname or alias.name
        for s in tree.body
        if isinstance(s, ast.Import | ast.ImportFrom)
        for alias in s.names
    }
    return at, [_IMPORTS[name] for name in sorted(needed) if name in unbound or name not in has]


def _comes_first(statement: ast.stmt) -> bool:
    """The docstring, and imports from __future__."""
    match statement:
        case ast.Expr(value=ast.Constant(value=str())) | ast.ImportFrom(module="__future__"):
            return True
    return False


def _of_notebooks_only(
    tree: ast.Module, stored: dict[str, Said], to_notebook: bool
) -> Iterator[NotebookOnly]:
    """Python that no script can have: `await` outside of functions, what only IPython defines."""
    for node in _outside_functions(tree):
        if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield NotebookOnly("`await` outside of a function: only a notebook runs it", node)
    for name, line in _unbound(tree).items():
        if _LAST_RESULTS.fullmatch(name):
            yield NotebookOnly(f"`{name}` is what IPython keeps of earlier cells", line)
        if name == "get_ipython" and not to_notebook:
            yield NotebookOnly("get_ipython() is known in a notebook only", line)
        if name in stored:
            yield NotebookOnly(f"`{name}` is bound by {stored[name].quoted}", line)


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, Function | ast.Lambda):
            yield from _outside_functions(child)
