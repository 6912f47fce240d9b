"""`if args.distributed:` around processes started by hand: the Trainer starts them, so what is left is one process's way."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from litify_converter.ir import Note
from litify_converter.lowering.base import Edit, Lowered, Lowering, Text, apply, removed
from litify_converter.lowering.folding import specialised
from litify_converter.lowering.process_expressions import SAMPLERS, WRAPPERS
from litify_converter.lowering.ranks import INIT, find_spawn
from litify_converter.read import Script
from litify_linter.reading.imports import dotted
from litify_linter.reading.roles import Role

FLAG = "FLAG__"  # stands for the option while branches are decided
STARTING = {INIT, "torch.multiprocessing.spawn", *WRAPPERS, *SAMPLERS}
# Options that only speak of the processes, where nothing else reads them.
OPTIONS = {
    "world_size",
    "rank",
    "local_rank",
    "dist_url",
    "dist_backend",
    "node_rank",
    "nproc_per_node",
    "ngpus",
}


class OptionalProcesses(Lowering):
    """Several processes are started only where an option says so, which it does not by itself."""

    name = "optional-processes"
    words = ("init_process_group",)

    def find(self, script: Script) -> Lowered | None:
        if find_spawn(script) is not None or not _calls(script, {"torch.multiprocessing.spawn"}):
            return None
        flags = _flags(script)
        if not flags:
            return None
        line = min(n.lineno for n in _calls(script, {INIT}))
        text: str | None = script.text
        for flag in sorted(flags):
            text = _decided(text, flag) if text is not None else None
        if text is None or text == script.text:
            return None
        text = _without_options(text, {f.rpartition(".")[2] for f in flags})
        last = script.text.count("\n") + 1
        note = "the Trainer starts the processes (--devices, --num_nodes)"
        return Lowered(
            [Edit((1, 0), (last + 1, 0), text)],
            [Note("engineering", script.original_line(line) or 1, note)],
        )


def _calls(script: Script, names: set[str]) -> list[ast.Call]:
    return [
        n
        for n in ast.walk(script.tree)
        if isinstance(n, ast.Call) and script.imports.resolve(n.func) in names
    ]


def _flags(script: Script) -> set[str]:
    """`args.distributed` and the like, around every place that starts processes; none where one can't be told."""
    guards = {id(call): guard for call, guard in _guarded(script, script.tree, None)}
    found: set[str] = set()
    for call in _calls(script, STARTING):
        guard = guards.get(id(call))
        if guard is None:
            return set()
        found.add(guard)
    defaults = _defaults(script.tree)
    owner = next(iter(found)).rpartition(".")[0]
    tests = {n.attr for n in ast.walk(script.tree) if isinstance(n, ast.Attribute) and dotted(n) in found}
    known = {f"{owner}.{name}": value for name, value in defaults.items()}
    for flag in sorted(found, key=lambda f: f.rpartition(".")[2] not in defaults):
        if flag.rpartition(".")[2] not in tests or not _is_off(script, flag, known):
            return set()
        known[flag] = False
    return found


def _guarded(script: Script, node: ast.AST, guard: str | None) -> Iterator[tuple[ast.Call, str | None]]:
    """Calls, each with the option that the nearest `if` around it asks for."""
    if isinstance(node, ast.Call):
        yield node, guard
    if isinstance(node, ast.If):
        asked = dotted(node.test) if isinstance(node.test, ast.Attribute) else None
        of_options = asked is not None and _is_options(script, node.test)
        for statement in node.body:
            yield from _guarded(script, statement, asked if of_options else guard)
        for child in [node.test, *node.orelse]:
            yield from _guarded(script, child, guard)
        return
    for child in ast.iter_child_nodes(node):
        yield from _guarded(script, child, guard)


def _is_options(script: Script, test: ast.expr) -> bool:
    assert isinstance(test, ast.Attribute)
    scopes = [script.tree, *script.roles.functions.values()]
    return any(script.roles.of(test.value, scope) is Role.CONFIG for scope in scopes)


def _defaults(tree: ast.Module) -> dict[str, object]:
    """Options of the command line and their defaults, where these are constants."""
    found: dict[str, object] = {}
    for node in ast.walk(tree):
        if _option(node) is None or not isinstance(node, ast.Call):
            continue
        given = {k.arg: k.value for k in node.keywords}
        default = given.get("default")
        action = given.get("action")
        if isinstance(action, ast.Constant) and action.value == "store_true" and default is None:
            found[_option(node) or ""] = False
        elif default is not None:
            try:
                found[_option(node) or ""] = ast.literal_eval(default)
            except ValueError:
                continue
    return found


def _option(node: ast.AST) -> str | None:
    """The attribute that `parser.add_argument("--world-size", ...)` sets."""
    match node:
        case ast.Call(func=ast.Attribute(attr="add_argument"), args=args, keywords=keywords):
            for keyword in keywords:
                if keyword.arg == "dest" and isinstance(keyword.value, ast.Constant):
                    return str(keyword.value.value)
            names = [a.value for a in args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            long = next((n for n in names if n.startswith("--")), None)
            return long.lstrip("-").replace("-", "_") if long else None
    return None


def _is_off(script: Script, flag: str, known: dict[str, object]) -> bool:
    """Whether an option is false unless the command line or the environment says something else."""
    inside = {
        id(s)
        for node in ast.walk(script.tree)
        if isinstance(node, ast.If) and "environ" in ast.unparse(node.test)
        for s in node.body
    }
    set_to = [
        node
        for node in ast.walk(script.tree)
        if isinstance(node, ast.Assign) and any(dotted(t) == flag for t in node.targets)
    ]
    plain = [s for s in set_to if id(s) not in inside]
    if not plain:
        return known.get(flag, True) is False
    return all(_value(s.value, known) is False for s in plain)


def _value(node: ast.expr, known: dict[str, object]) -> object:
    """What an expression over options gives by itself; None: not known."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Attribute() if dotted(node) in known:
            return known[dotted(node) or ""]
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            found = _value(inner, known)
            return None if found is None else not found
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(number))):
            return -number
        case ast.BoolOp(op=op, values=values):
            every = [_value(v, known) for v in values]
            if None in every:
                return None
            return bool(all(every) if isinstance(op, ast.And) else any(every))
        case ast.Compare(left=left, ops=[ast.Gt() | ast.NotEq() as op], comparators=[right]):
            first, second = _value(left, known), _value(right, known)
            if not isinstance(first, int) or not isinstance(second, int):
                return None
            return first > second if isinstance(op, ast.Gt) else first != second
    return None


def _decided(source: str, flag: str) -> str | None:
    """The script with an option off: what it sets goes, and the branches that it decides."""
    tree, text = ast.parse(source), Text(source)
    gone: set[ast.stmt] = {
        n for n in ast.walk(tree) if isinstance(n, ast.Assign) and [dotted(t) for t in n.targets] == [flag]
    }
    source = apply(source, range(1, len(text.lines) + 1), removed(text, tree.body, gone))[0]
    tree, text = ast.parse(source), Text(source)
    reads = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and dotted(n) == flag]
    if any(not isinstance(n.ctx, ast.Load) for n in reads):
        return None
    edits = [text.replace(n, FLAG) for n in reads]
    for node in ast.walk(tree):
        match node:
            case ast.BinOp(left=left, op=ast.Add(), right=ast.BoolOp(op=ast.And(), values=[first, *_])) if (
                dotted(first) == flag
            ):
                edits.append(text.replace(node, text.of(left)))  # `len(loader) + (args.distributed and ...)`
    return specialised(apply(source, range(1, len(text.lines) + 1), edits)[0], FLAG, False)


def _without_options(source: str, flags: set[str]) -> str:
    """Options that nothing reads any more, and statements that only set them, go."""
    tree, text = ast.parse(source), Text(source)
    dead = (OPTIONS | flags) & {o for n in ast.walk(tree) if (o := _option(n)) is not None}
    while True:
        gone = set(_setting(tree, dead))
        within = {id(n) for s in gone for n in ast.walk(s)}
        read = {
            n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load)
            and id(n) not in within
        }  # fmt: skip
        if not dead & read:
            break
        dead -= read
    gone |= {n for n in ast.walk(tree) if isinstance(n, ast.Expr) and _option(n.value) in dead}
    return apply(source, range(1, len(text.lines) + 1), removed(text, tree.body, gone))[0]


def _setting(tree: ast.Module, dead: set[str]) -> Iterator[ast.stmt]:
    """`args.world_size = ...`, and an `if` around nothing else."""
    for node in ast.walk(tree):
        if (isinstance(node, ast.If) and not node.orelse and all(_sets(s, dead) for s in node.body)) or (
            isinstance(node, ast.Assign) and _sets(node, dead)
        ):
            yield node


def _sets(statement: ast.stmt, dead: set[str]) -> bool:
    match statement:
        case ast.Assign(targets=[ast.Attribute(attr=attr)]):
            return attr in dead
    return False
