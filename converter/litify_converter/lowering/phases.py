"""`for phase in ["train", "val"]:` inside the epoch loop: training, then evaluation, each with a loop of its own."""

from __future__ import annotations

import ast
import textwrap

from litify_converter.blocks import inner_blocks
from litify_converter.effects import is_call_of
from litify_converter.ir import Note
from litify_converter.lowering.base import Edit, Lowered, Lowering, Text, apply, header_end
from litify_converter.lowering.folding import renamed, specialised
from litify_converter.plan import jumps
from litify_converter.read import Script
from litify_linter.reading.scopes import Function, bound, exposed, read


class Phases(Lowering):
    """A loop over the names of the phases is written out, once for each."""

    name = "phases"
    words = ("phase", "split", "mode", '"val"', "'val'")

    def find(self, script: Script) -> Lowered | None:
        text = Text(script.text)
        for scope in [script.tree, *script.roles.functions.values(), *script.roles.owner]:
            for loop in _loops(scope.body):
                edit = _unrolled(text, loop, scope)
                if edit is not None:
                    line = script.original_line(loop.lineno) or 1
                    return Lowered([edit], [Note("engineering", line, "each phase has hooks of its own")])
        return None


def _loops(body: list[ast.stmt], inside: bool = False) -> list[ast.For]:
    """Loops over names, inside another loop, that train in some of their rounds."""
    found = []
    for statement in body:
        if isinstance(statement, Function | ast.ClassDef):
            continue
        if inside and isinstance(statement, ast.For) and _values(statement) and _trains(statement):
            found.append(statement)
            continue
        for block in inner_blocks(statement):
            found += _loops(block, inside or isinstance(statement, ast.For | ast.While))
    return found


def _values(loop: ast.For) -> list[str]:
    return [value for value, _ in _rounds(loop)]


def _rounds(loop: ast.For) -> list[tuple[str, dict[str, str]]]:
    """Each round's phase, and what else it is given: `for phase, loader in [("train", a), ("val", b)]`."""
    match loop:
        case ast.For(iter=ast.List(elts=elements) | ast.Tuple(elts=elements), orelse=[]):
            found = [_round(loop.target, e) for e in elements]
            every = [r for r in found if r is not None]
            return every if len(every) == len(elements) and 2 <= len(every) <= 4 else []
    return []


def _round(target: ast.expr, element: ast.expr) -> tuple[str, dict[str, str]] | None:
    match target, element:
        case ast.Name(), ast.Constant(value=str(value)):
            return value, {}
        case ast.Tuple(elts=[ast.Name(), *names]), ast.Tuple(elts=[ast.Constant(value=str(value)), *given]):
            pairs = [
                (n.id, g.id)
                for n, g in zip(names, given, strict=False)
                if isinstance(n, ast.Name) and isinstance(g, ast.Name)
            ]
            return (value, dict(pairs)) if len(pairs) == len(names) == len(given) else None
    return None


def _trains(loop: ast.For) -> bool:
    return any(isinstance(n, ast.Attribute) and n.attr == "backward" for n in ast.walk(loop))


def _unrolled(text: Text, loop: ast.For, scope: ast.Module | Function) -> Edit | None:
    targets = [n.id for n in ast.walk(loop.target) if isinstance(n, ast.Name)]
    name, first, last = targets[0], loop.body[0].lineno, loop.end_lineno or loop.lineno
    if any(jumps(s) for s in loop.body) or first == loop.lineno:
        return None
    if any(_read_behind(loop, scope, n) for n in targets) or set(targets) & bound(loop.body):
        return None
    header = header_end(text, loop.body, loop.iter.end_lineno or loop.lineno)
    body = textwrap.dedent(text.source(header + 1, last))
    rounds = []
    for value, given in _rounds(loop):
        made = specialised(body, name, value)
        made = renamed(made, given) if made is not None and given else made
        if made is None:
            return None
        made = _without_aliases(made, loop, scope)
        rounds.append(made if made.endswith("\n") else made + "\n")
    if not any(".backward(" in r for r in rounds):
        return None
    trains = [r for r in rounds if ".backward(" in r]
    if all(_zeroes_first(r) for r in trains):
        rounds = [r if r in trains else _without_zero_grad(r) for r in rounds]
    rounds = _own_names(rounds, _values(loop), loop, scope)
    whole = textwrap.indent("\n".join(rounds), text.indent(loop))
    return Edit((loop.lineno, 0), (last + 1, 0), whole)


def _without_aliases(block: str, loop: ast.For, scope: ast.Module | Function) -> str:
    """A round in which `loader = val_loader` is seen through, so that its batches come from one loader for good."""
    inside = {id(n) for n in ast.walk(loop)}
    elsewhere = {n.id for n in ast.walk(scope) if isinstance(n, ast.Name) and id(n) not in inside}
    body = ast.parse(block).body
    for statement in body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Name(id=other)):
                others = [s for s in body if s is not statement]
                if name in elsewhere or {name, other} & bound(others) or len(body) == 1:
                    continue
                text = Text(block)
                without = apply(block, range(1, len(text.lines) + 1), [text.remove(statement)])[0]
                made = renamed(without, {name: other})
                if made is not None:
                    return _without_aliases(made, loop, scope)
    return block


def _own_names(
    rounds: list[str], values: list[str], loop: ast.For, scope: ast.Module | Function
) -> list[str]:
    """A round's own sums get names of their own, where training's are read behind its batches: `val_running_loss`."""
    inside = {id(n) for n in ast.walk(loop)}
    elsewhere = {n.id for n in ast.walk(scope) if isinstance(n, ast.Name) and id(n) not in inside}
    taken = elsewhere | {n.id for n in ast.walk(loop) if isinstance(n, ast.Name)}
    tail = {n for r in rounds if ".backward(" in r for n in _read_behind_batches(r)}
    made = []
    for text, value in zip(rounds, values, strict=True):
        body = ast.parse(text).body
        own = (bound(body) & tail) - exposed(body) - elsewhere
        names = {n: f"{value}_{n}" for n in sorted(own)}
        usable = ".backward(" not in text and value.isidentifier() and not set(names.values()) & taken
        made.append((renamed(text, names) if usable else None) or text)
    return made


def _read_behind_batches(text: str) -> set[str]:
    """Names that a round reads behind its loop over batches."""
    body = ast.parse(text).body
    loops = [i for i, s in enumerate(body) if isinstance(s, ast.For)]
    return read(body[loops[-1] + 1 :]) if loops else set()


def _read_behind(loop: ast.For, scope: ast.Module | Function, name: str) -> bool:
    """Whether anything outside of the loop reads its name."""
    inside = {id(n) for n in ast.walk(loop)}
    return any(isinstance(n, ast.Name) and n.id == name and id(n) not in inside for n in _own(scope))


def _own(scope: ast.Module | Function) -> list[ast.AST]:
    """Nodes of a scope where the loop's name would mean the same; comprehensions that bind it themselves are none."""
    found: list[ast.AST] = []
    stack: list[ast.AST] = list(scope.body)
    while stack:
        node = stack.pop()
        if isinstance(
            node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp | Function | ast.Lambda
        ):
            continue
        found.append(node)
        stack.extend(ast.iter_child_nodes(node))
    return found


def _zeroes_first(block: str) -> bool:
    """Whether each batch of a training round starts from zero gradients, so that it does not matter what others leave."""
    place = block.find(".zero_grad(")
    return 0 <= place < block.find(".backward(")


def _without_zero_grad(block: str) -> str:
    """A round that computes no gradients needs none to be zero."""
    text, tree = Text(block), ast.parse(block)
    found = [
        (body, s)
        for node in ast.walk(tree)
        if isinstance(body := getattr(node, "body", None), list)
        for s in body
        if isinstance(s, ast.stmt) and is_call_of(s, "zero_grad") is not None
    ]
    edits = [text.remove(s) for body, s in found if len(body) > 1]
    return apply(block, range(1, len(text.lines) + 1), edits)[0]
