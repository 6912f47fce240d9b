"""Training code in a file beside the script: `from engine import train_one_epoch` is written into the script.

What trains or evaluates comes along, as it stands; what it needs of its own file (helpers, constants) is imported from
there, as before.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from litify_converter.containers import stepped_attribute
from litify_converter.ir import Note
from litify_converter.lowering.base import Edit, Lowered, Lowering, Text
from litify_converter.lowering.files import Definition, File, Files, Found, joined, names_in
from litify_converter.read import Script
from litify_converter.refusals import StepElsewhere
from litify_converter.ways import Search
from litify_linter.reading.imports import dotted
from litify_linter.reading.scopes import bound


class Brought(Lowering):
    """Functions and classes of other files that hold the training, where the script has none of its own."""

    name = "brought"
    words = ("import ",)

    def find(self, script: Script) -> Lowered | None:
        files = Files(script.path)
        uses = list(_uses(script, files))
        wrappers = [use for use in uses if _wraps_optimizer(use, script)]
        trains = any(_trains(use.found, files) for use in uses) and not Search(script).ways(called=True)
        if not trains and not wrappers:
            return None
        return _Bringing(script, files, uses if trains else wrappers).result()


@dataclass(frozen=True, eq=False)
class Use:
    """A definition of another file that the script names: by its own name, or as `module.name` at `places`."""

    statement: ast.Import | ast.ImportFrom
    found: Found
    name: str  # in the script; of `module.name` the last part
    places: tuple[ast.expr, ...] = ()


def _uses(script: Script, files: Files) -> Iterator[Use]:
    modules: dict[str, tuple[str, ast.Import | ast.ImportFrom]] = {}  # as the script spells it -> module
    for statement in script.tree.body:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                modules[alias.asname or alias.name] = (alias.name, statement)
        elif isinstance(statement, ast.ImportFrom):
            module = "." * statement.level + (statement.module or "")
            for alias in statement.names:
                if alias.name == "*":
                    file = files.file(module)
                    names = {n: n for n in file.tops} if file is not None else {}
                else:
                    names = {alias.asname or alias.name: alias.name}
                    modules[alias.asname or alias.name] = (joined(module, alias.name), statement)
                for local, name in names.items():
                    found = files.definition(module, name)
                    if found is not None:
                        yield Use(statement, found, local)
    places: dict[tuple[str, str], list[ast.expr]] = {}
    for node in ast.walk(script.tree):
        if isinstance(node, ast.Attribute) and (whole := dotted(node)) is not None:
            prefix, _, name = whole.rpartition(".")
            if prefix in modules:
                places.setdefault((prefix, name), []).append(node)
    for (prefix, name), nodes in places.items():
        module, imported = modules[prefix]
        found = files.definition(module, name)
        if found is not None:
            yield Use(imported, found, name, tuple(nodes))


# -- what comes along --------------------------------------------------------------------------------------------------


def _marks(found: Found, files: Files, seen: set[int] | None = None) -> set[str]:
    """Which of "backward" and "step" a definition calls, itself or through functions and classes that it names."""
    seen = set() if seen is None else seen
    if id(found.node) in seen:
        return set()
    seen.add(id(found.node))
    marks = {
        n.func.attr
        for n in ast.walk(found.node)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)
    } & {"backward", "step"}
    for other in files.used(found):
        marks |= _marks(other, files, seen)
    return marks


def _trains(found: Found, files: Files) -> bool:
    return _marks(found, files) == {"backward", "step"}


def _wraps_optimizer(use: Use, script: Script) -> bool:
    """Whether the script steps the optimizer inside an object of the class."""
    node = use.found.node
    if (
        not isinstance(node, ast.ClassDef)
        or stepped_attribute(node) is None
        or ".backward(" not in script.text
    ):
        return False
    made = {ast.unparse(n.func) for n in ast.walk(script.tree) if isinstance(n, ast.Call)}
    return use.name in made or any(ast.unparse(place) in made for place in use.places)


def _evaluates(node: Definition) -> bool:
    """Whether a function runs a network over batches without training it."""
    if isinstance(node, ast.ClassDef):
        return False
    loops = any(isinstance(n, ast.For) for n in ast.walk(node))
    words = {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
    words |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return loops and bool(words & {"eval", "no_grad", "inference_mode"})


def _has_effects(file: File) -> bool:
    """Whether importing a file does more than to define names."""
    quiet = (
        ast.Import,
        ast.ImportFrom,
        ast.FunctionDef,
        ast.AsyncFunctionDef,
        ast.ClassDef,
        ast.Assign,
        ast.AnnAssign,
    )
    return any(
        not isinstance(s, quiet)
        and not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
        and not (isinstance(s, ast.If) and "__name__" in ast.unparse(s.test))
        for s in file.tree.body
    )


# -- bringing it ---------------------------------------------------------------------------------------------------------


@dataclass
class _Bringing:
    """Collects what one script needs, definition by definition, those that others need first."""

    script: Script
    files: Files
    uses: list[Use]
    texts: list[str] = field(default_factory=list)
    imports: dict[str, str] = field(default_factory=dict)  # name in the script -> import statement
    names: dict[ast.AST, str] = field(default_factory=dict)  # definition brought along -> its name here
    origins: dict[ast.AST, File] = field(default_factory=dict)

    def result(self) -> Lowered:
        wanted = [
            u
            for u in self.uses
            if _trains(u.found, self.files) or _evaluates(u.found.node) or _wraps_optimizer(u, self.script)
        ]
        self.taken = {n.id for n in ast.walk(self.script.tree) if isinstance(n, ast.Name)}
        self.taken |= bound(self.script.tree.body)
        line = wanted[0].statement.lineno
        for use in wanted:
            name = use.name if not use.places else self._free_name(use.name, use.found.file)
            self.names.setdefault(use.found.node, name)
        for use in wanted:
            self._bring(use.found, use.statement)
        lowered = Lowered(is_source=True)
        self._edit_imports(lowered, wanted)
        for use in wanted:
            lowered.edits += [self._text.replace(p, self.names[use.found.node]) for p in use.places]
        for node, file in self.origins.items():
            text = f"{self.names[node]} comes from {file.path.name} and is part of the result"
            lowered.notes.append(Note("research", line, text))
        return lowered

    @property
    def _text(self) -> Text:
        return Text(self.script.text)

    def _bring(self, found: Found, statement: ast.stmt) -> None:
        """Write a definition out, and before it those that it needs."""
        if found.node in self.origins:
            return
        self.origins[found.node] = found.file
        self.names.setdefault(found.node, self._free_name(found.node.name, found.file))
        self._check_globals(found, statement)
        bases = {
            n.id for b in getattr(found.node, "bases", []) for n in ast.walk(b) if isinstance(n, ast.Name)
        }
        renamed: dict[str, str] = {found.node.name: self.names[found.node]}
        for name in sorted(names_in(found.node) & set(found.file.tops) - {found.node.name}):
            other = self.files.definition(found.file.module, name)
            if other is not None and (
                name in bases
                or _marks(other, self.files)
                or other.node in self.names
                or _evaluates(other.node)
            ):
                self._bring(other, statement)
                renamed[name] = self.names[other.node]
            else:
                renamed[name] = self._import(name, found.file, statement)
        self.texts.append(_written(found, {k: v for k, v in renamed.items() if k != v}, statement))

    def _check_globals(self, found: Found, statement: ast.stmt) -> None:
        changed = {
            name for n in ast.walk(found.file.tree) if isinstance(n, ast.Global) for name in n.names
        } & names_in(found.node)
        changed |= {name for n in ast.walk(found.node) if isinstance(n, ast.Global) for name in n.names}
        if changed:
            raise StepElsewhere(
                f"{found.node.name} of {found.file.path.name} works on the global `{min(changed)}` of that file",
                statement,
            )

    def _free_name(self, name: str, file: File) -> str:
        """`name`, or `engine_name` where the script uses it for something else."""
        if name in self.taken:
            name = f"{file.module.rpartition('.')[2]}_{name}"
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def _import(self, name: str, file: File, statement: ast.stmt) -> str:
        """Make a top-level name of another file known in the script. Returns its name here."""
        module, original = self._source(name, file, statement)
        meaning = joined(module, original) if original else module
        known = self.script.imports.names
        if known.get(name) == meaning or (not original and known.get(name) == module.partition(".")[0]):
            return name
        for local, text in self.imports.items():
            if text == _import_text(module, original, local):
                return local
        here = (
            name
            if original == "" and "." in module and name == module.partition(".")[0]
            else self._free_name(name, file)
        )
        self.imports[here] = _import_text(module, original, here)
        return here

    def _source(self, name: str, file: File, statement: ast.stmt) -> tuple[str, str]:
        """(module, name in it) that a top-level name stands for; the second is "" for a module."""
        match file.tops[name]:
            case ast.Import(names=aliases):
                alias = next(a for a in aliases if (a.asname or a.name.partition(".")[0]) == name)
                return alias.name, ""
            case ast.ImportFrom(names=aliases) as found:
                module = file.imported_module(found)
                originals = [a.name for a in aliases if (a.asname or a.name) == name]
                if module is None or not originals:
                    raise StepElsewhere(f"an import of {file.path.name} can't be followed", statement)
                return module, originals[0]
        return file.module, name

    def _edit_imports(self, lowered: Lowered, wanted: list[Use]) -> None:
        """Take what came along out of the script's imports; put what it needs, and itself, behind them."""
        text = self._text
        statements = list({u.statement: None for u in wanted})
        last = max(statements, key=lambda s: s.lineno)
        local = [t for t in self.imports.values() if self.files.file(t.split()[1]) is not None]
        foreign = [t for t in self.imports.values() if t not in local]
        for statement in statements:
            kept = self._kept(statement, [u for u in wanted if u.statement is statement])
            if statement is last:
                kept = [*foreign, *kept, *local]
            end = (statement.end_lineno or statement.lineno) + 1
            lines = "".join(f"{line}\n" for line in kept)
            lowered.edits.append(Edit((statement.lineno, 0), (end, 0), lines))
        body = self.script.tree.body
        after = [s for s in body if s.lineno > last.lineno and not isinstance(s, ast.Import | ast.ImportFrom)]
        place = text.first_line(after[0]) if after else len(text.lines) + 1
        while place - 1 > (last.end_lineno or last.lineno) and text.lines[place - 2].startswith("#"):
            place -= 1
        lowered.edits.append(text.insert(place, "\n\n".join(self.texts) + "\n\n", last.lineno))

    def _kept(self, statement: ast.Import | ast.ImportFrom, gone: list[Use]) -> list[str]:
        """What is left of an import."""
        files = {u.found.file.module: u.found.file for u in gone}
        if isinstance(statement, ast.Import) or any(u.places for u in gone) or statement.names[0].name == "*":
            places = {id(n) for u in gone for p in u.places for n in ast.walk(p)}
            used = {
                n.id for n in ast.walk(self.script.tree) if isinstance(n, ast.Name) and id(n) not in places
            }
            names = [
                a for a in statement.names if a.name == "*" or (a.asname or a.name).partition(".")[0] in used
            ]
        else:
            brought = {u.name for u in gone}
            names = [a for a in statement.names if (a.asname or a.name) not in brought]
        kept = []
        if names:
            kept.append(ast.unparse(_with_names(statement, names)))
        for module, file in files.items():
            imported = {*self.imports.values(), *kept}
            if _has_effects(file) and not any(f" {module} " in f"{text} " for text in imported):
                kept.append(f"import {module}" if not module.startswith(".") else ast.unparse(statement))
        return kept


def _with_names(statement: ast.Import | ast.ImportFrom, names: list[ast.alias]) -> ast.stmt:
    if isinstance(statement, ast.Import):
        return ast.Import(names)
    return ast.ImportFrom(statement.module, names, statement.level)


def _import_text(module: str, original: str, here: str) -> str:
    if original:
        return f"from {module} import {original}" + (f" as {here}" if here != original else "")
    return f"import {module}" + (f" as {here}" if here != module and here != module.partition(".")[0] else "")


def _written(found: Found, renamed: dict[str, str], statement: ast.stmt) -> str:
    """The source of a definition with some of its outer names changed, and the comment lines right above it."""
    text, node = found.file.text, found.node
    if renamed and set(renamed) & _own_names(node):
        name = min(set(renamed) & _own_names(node))
        raise StepElsewhere(
            f"`{name}` of {found.file.path.name} means something else in this script", statement
        )
    first, last = text.first_line(node), node.end_lineno or node.lineno
    while first > 1 and text.lines[first - 2].startswith("#"):
        first -= 1
    names = [n for n in ast.walk(node) if isinstance(n, ast.Name) and n.id in renamed]
    places: dict[ast.expr, str] = {n: renamed[n.id] for n in names}
    lines = text.rewritten(first, last, places)
    head = node.lineno - first
    if node.name in renamed:
        lines[head] = re.sub(rf"\b{node.name}\b", renamed[node.name], lines[head], count=1)
    return "".join(lines).rstrip("\n") + "\n"


def _own_names(node: Definition) -> set[str]:
    """Names that a definition binds inside: a name of outside that is changed must not be one of them."""
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    names |= {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}
    return names | {n.name for n in ast.walk(node) if isinstance(n, Definition) and n is not node}
