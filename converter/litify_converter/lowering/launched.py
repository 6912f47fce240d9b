"""`args.local_rank == -1`: a launcher sets the option, and -1 means that none did. The Trainer starts the processes instead."""

from __future__ import annotations

import ast
import itertools

from litify_converter.ir import TRAINER, Note, Scope
from litify_converter.lowering.base import Edit, Lowered, Lowering, Text, apply
from litify_converter.lowering.folding import specialised, truth
from litify_converter.read import Script
from litify_converter.ways import Search, first_loop, from_loop
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import bound, walk_scope

OPTIONS = {"--local_rank", "--local-rank"}
NAME = "local_rank"


class Launched(Lowering):
    """Branches for a launcher are decided as they are without one."""

    name = "launched"
    words = ("--local_rank", "--local-rank")

    def find(self, script: Script) -> Lowered | None:
        default = _default(script)
        if default is None or _is_set(script):
            return None
        inside = _in_training(script)
        flag = _free("launched", script)
        text = Text(script.text)
        edits: list[Edit] = []
        shown = {id(n) for f in ast.walk(script.tree) if isinstance(f, ast.JoinedStr) for n in ast.walk(f)}
        for scope in [script.tree, *script.roles.functions.values(), *script.roles.owner]:
            for node in walk_scope(scope.body):
                if id(node) in shown:
                    continue
                if isinstance(node, ast.Compare) and (found := _asked(script, node, scope)) is not None:
                    edits.append(text.replace(node, _instead(node, found, id(node) in inside, flag)))
        if not edits:
            return None
        made = specialised(apply(script.text, range(1, len(text.lines) + 1), edits)[0], flag, False)
        if made is None or made == script.text:
            return None
        note = Note(
            "engineering", script.original_line(default) or 1, "the Trainer starts the processes (--devices)"
        )
        end = (len(text.lines), len(text.lines[-1]))
        return Lowered([Edit((1, 0), end, made)], [note])


def _default(script: Script) -> int | None:
    """The line of the option, where -1 is its default."""
    for node in ast.walk(script.tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="add_argument"), args=args, keywords=keywords):
                names = {a.value for a in args if isinstance(a, ast.Constant)}
                defaults = [ast.unparse(k.value) for k in keywords if k.arg == "default"]
                if names & OPTIONS and defaults == ["-1"]:
                    return node.lineno
    return None


def _is_set(script: Script) -> bool:
    """Whether the script itself sets the field."""
    return any(
        isinstance(n, ast.Attribute) and n.attr == NAME and not isinstance(n.ctx, ast.Load)
        for n in ast.walk(script.tree)
    )


def _asked(script: Script, node: ast.Compare, scope: Scope) -> bool | None:
    """What a comparison of the option gives where no launcher sets it."""
    match node.left:
        case ast.Attribute(value=owner, attr="local_rank"):
            if script.roles.of(owner, scope) in (Role.CONFIG, None):
                plain = ast.Compare(
                    ast.Name(NAME, ast.Load()), node.ops, [_number(c) for c in node.comparators]
                )
                return truth(plain, NAME, -1)
    return None


def _number(node: ast.expr) -> ast.expr:
    """`-1` as one constant, also as an element of a list."""
    match node:
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(number))):
            return ast.Constant(-number)
        case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
            return ast.List([_number(e) for e in elements], ast.Load())
    return node


def _instead(node: ast.Compare, found: bool, inside: bool, flag: str) -> str:
    """In the loop the first process is the Trainer's; elsewhere the branch is decided."""
    zero = isinstance(node.ops[0], ast.In | ast.NotIn | ast.LtE | ast.Gt)
    if zero and inside:
        return f"{TRAINER}.is_global_zero" if found else f"not {TRAINER}.is_global_zero"
    return f"not {flag}" if found else flag


def _in_training(script: Script) -> set[int]:
    """Nodes of the loops that train, and of the functions that they call on the way to the step."""
    ways = [way for way in Search(script).ways() if first_loop(way) is not None]
    cut, _ = from_loop(ways, script)
    parts = [way[0].statement for way in cut]
    functions = [turn.call.function for way in cut for turn in way[1:] if turn.call is not None]
    return {id(n) for part in [*parts, *functions] for n in ast.walk(part)}


def _free(name: str, script: Script) -> str:
    taken = {n.id for n in ast.walk(script.tree) if isinstance(n, ast.Name)} | bound(script.tree.body)
    return next(
        n for n in itertools.chain([name], (f"{name}{i}" for i in itertools.count(2))) if n not in taken
    )
