"""What sort of value an expression has, as far as it matters for devices: a tensor, something else, or not known."""

from __future__ import annotations

import ast
import enum
from collections.abc import Iterator

from litify_converter.ir import Scope
from litify_converter.read import Script
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, parameters, walk_scope

# Functions of torch that make a tensor out of numbers, on the CPU where they are not told otherwise.
_FACTORIES_NAMES = """
arange as_tensor asarray bartlett_window blackman_window complex empty eye from_numpy full hamming_window
hann_window linspace logspace normal ones rand randint randn randperm range scalar_tensor tensor
tril_indices triu_indices zeros Tensor FloatTensor DoubleTensor HalfTensor LongTensor IntTensor
ShortTensor ByteTensor BoolTensor
"""
FACTORIES = frozenset(f"torch.{name}" for name in _FACTORIES_NAMES.split())
# Of these, the ones that take no `device=`.
WITHOUT_DEVICE = frozenset(
    n for n in FACTORIES if n.endswith("Tensor") or n in ("torch.from_numpy", "torch.normal")
)
_NO_TENSOR_NAMES = """
compile device finfo iinfo load manual_seed save seed initial_seed typename
"""
_NO_TENSOR = frozenset(_NO_TENSOR_NAMES.split())  # and what starts with is_, get_, set_ or use_
_SEVERAL_NAMES = """
chunk max min mode median sort split svd topk unbind unique var_mean std_mean where
"""
_SEVERAL = frozenset(_SEVERAL_NAMES.split())
# Methods of a tensor that give a tensor back.
_METHODS_NAMES = """
abs add bfloat16 bool byte ceil clamp clone contiguous cos cpu cuda cumsum detach diag div double exp
expand expand_as fill_ flatten float floor gather half index_select int log long masked_fill matmul mean
mm mul narrow new_empty new_full new_ones new_zeros norm normal_ permute pow prod relu repeat reshape
round rsqrt scatter_ sigmoid sin softmax sqrt squeeze std sub sum t tanh to transpose tril triu type
type_as uniform_ unsqueeze unsqueeze_ var view view_as zero_ random_ bernoulli_ mul_ add_ div_ sub_ copy_
eq ge gt le lt ne argmax argmin
"""
_METHODS = frozenset(_METHODS_NAMES.split())


class Sort(enum.Enum):
    """The sort of a value."""

    TENSOR = "tensor"  # one, and nothing else
    PLAIN = "plain"  # no tensor, and nothing that holds one
    UNKNOWN = "unknown"
    OPEN = "open"  # that of a name, which is asked for: `x = x + 1` does not decide it


class Values:
    """Sorts of the values that the set-up of a script makes, up to its training loop.

    `of(expression, scope)` follows names, functions and what they return.
    """

    def __init__(self, script: Script, loop: ast.stmt) -> None:
        self.script = script
        self.loop = range(loop.lineno, (loop.end_lineno or loop.lineno) + 1)
        self._asked: set[tuple[frozenset[ast.AST], str]] = set()

    def of(self, node: ast.expr, scope: Scope) -> Sort:
        match node:
            case ast.Constant() | ast.JoinedStr() | ast.Lambda():
                return Sort.PLAIN
            case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
                return self._none_of(parts, scope)
            case ast.Dict(keys=keys, values=values):
                return self._none_of([*(k for k in keys if k is not None), *values], scope)
            case ast.Starred(value=value) | ast.NamedExpr(value=value) | ast.UnaryOp(operand=value):
                return self.of(value, scope)
            case ast.BinOp(left=left, right=right):
                return self._mixed([left, right], scope)
            case ast.Compare(left=left, comparators=others):
                return self._mixed([left, *others], scope)
            case ast.BoolOp(values=parts):
                return self._same(parts, scope)
            case ast.IfExp(body=body, orelse=orelse):
                return self._same([body, orelse], scope)
            case ast.Subscript(value=value):
                return self.of(value, scope)
            case ast.Attribute(value=value, attr=attr):
                return self._of_attribute(node, value, attr, scope)
            case ast.Name(id=name):
                return self._of_name(name, scope, getattr(node, "lineno", None))
            case ast.Call():
                return self._of_call(node, scope)
            case ast.ListComp(elt=part) | ast.SetComp(elt=part) | ast.GeneratorExp(elt=part):
                iterated = [g.iter for g in node.generators]
                return self._none_of([part, *iterated], scope, _targets(node))
        return Sort.UNKNOWN

    def element(self, node: ast.expr, at: int, scope: Scope) -> Sort:
        """The sort of what the at-th target of `a, b = node` takes."""
        match node:
            case ast.Tuple(elts=parts) | ast.List(elts=parts) if at < len(parts):
                return self.of(parts[at], scope)
            case ast.GeneratorExp(elt=part) | ast.ListComp(elt=part):
                return self._in_comprehension(part, node, scope)
            case ast.Call() if (function := self.script.roles.callee(node, scope)) is not None:
                results = list(_results(function))
                return _one({self.element(r, at, function) for r in results})
        return Sort.PLAIN if self.of(node, scope) is Sort.PLAIN else Sort.UNKNOWN

    def _in_comprehension(self, part: ast.expr, node: ast.GeneratorExp | ast.ListComp, scope: Scope) -> Sort:
        bound = {n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
        own = {n.id for n in ast.walk(part) if isinstance(n, ast.Name)} & bound
        return self.of(part, scope) if not own or self._made_by_torch(part) else Sort.UNKNOWN

    def _made_by_torch(self, node: ast.expr) -> bool:
        """`torch.from_numpy(part).double()`, whatever `part` is."""
        while isinstance(node, ast.Call):
            if self.script.imports.resolve(node.func) in FACTORIES:
                return True
            if not (isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS):
                return False
            node = node.func.value
        return False

    def _of_name(self, name: str, scope: Scope, line: int | None) -> Sort:
        home, bindings = self._bindings(name, scope)
        if home is None:
            return Sort.PLAIN  # a built-in, a module, a class or a function
        if not bindings or self.script.roles.of(ast.Name(name, ast.Load()), scope) in (
            Role.MODEL,
            Role.CRITERION,
        ):
            return Sort.UNKNOWN
        if line not in self.loop:
            before = [b for b in bindings if getattr(b, "lineno", 0) not in self.loop]
            bindings = before or bindings
        bindings = _reaching(bindings, home, line)
        asked = frozenset(bindings), name
        if asked in self._asked:
            return Sort.OPEN
        self._asked.add(asked)
        try:
            sorts = {self._bound_to(b, name, home) for b in bindings}
        finally:
            self._asked.discard(asked)
        return _one(sorts)

    def _bindings(self, name: str, scope: Scope) -> tuple[Scope | None, list[ast.AST]]:
        """The scope that binds a name, and the nodes there that do; no scope where nothing but a definition does."""
        place: ast.AST | None = scope
        while place is not None:
            if isinstance(place, Function) and name in parameters(place):
                return place, []
            if isinstance(place, ast.Module | Function):
                found = [n for n in walk_scope(place.body) if name in _bound_by(n)]
                if found:
                    plain = all(
                        isinstance(n, ast.Import | ast.ImportFrom | ast.ClassDef | Function) for n in found
                    )
                    return (None, []) if plain else (place, found)
            place = self.script.roles.outer.get(place) if isinstance(place, Function | ast.ClassDef) else None
        return None, []

    def _bound_to(self, node: ast.AST, name: str, scope: Scope) -> Sort:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    if isinstance(target, ast.Name):
                        return self.of(value, scope)
                    if isinstance(target, ast.Tuple | ast.List):
                        names = [t.id if isinstance(t, ast.Name) else None for t in target.elts]
                        if name in names:
                            return self.element(value, names.index(name), scope)
            case ast.AnnAssign(value=ast.expr() as value) | ast.NamedExpr(value=value):
                return self.of(value, scope)
            case ast.AugAssign(value=value):
                kept = self.of(value, scope)
                return kept if kept is Sort.PLAIN else Sort.UNKNOWN
            case ast.For(iter=values) | ast.comprehension(iter=values):
                return Sort.PLAIN if self.of(values, scope) is Sort.PLAIN else Sort.UNKNOWN
            case ast.With() | ast.ExceptHandler() | ast.Import() | ast.ImportFrom():
                return Sort.PLAIN
        return Sort.UNKNOWN

    def _of_attribute(self, node: ast.Attribute, value: ast.expr, attr: str, scope: Scope) -> Sort:
        if self.script.imports.resolve(node) is not None:
            return Sort.PLAIN  # `math.pi`, `torch.float32`
        if attr in ("shape", "dtype", "ndim", "device", "size"):
            return Sort.PLAIN
        if self.script.roles.of(value, scope) is Role.DATASET:
            return Sort.UNKNOWN  # `train_set.data` is a tensor of some data sets
        owner = self.of(value, scope)
        if owner is Sort.TENSOR:
            return Sort.TENSOR if attr in ("data", "T", "mT", "grad") else Sort.UNKNOWN
        return owner

    def _of_call(self, call: ast.Call, scope: Scope) -> Sort:
        name = self.script.imports.resolve(call.func)
        role = self.script.roles.of(call, scope)
        if (
            role is not None
        ):  # networks in a list are nobody's, what a loader or an optimizer holds is the Trainer's
            return Sort.UNKNOWN if role in (Role.MODEL, Role.CRITERION) else Sort.PLAIN
        if name is not None and (name.startswith("torch.") or name == "torch"):
            return _of_torch(name)
        if name is not None and not self._is_local(name):
            return Sort.PLAIN  # numpy, time, matplotlib ...
        function = self.script.roles.callee(call, scope)
        if function is not None:
            results = list(_results(function))
            sorts = {self.of(r, function) for r in results}
            return Sort.PLAIN if not results else sorts.pop() if len(sorts) == 1 else Sort.UNKNOWN
        match call.func:
            case ast.Name(id="Variable"):
                return self.of(call.args[0], scope) if call.args else Sort.UNKNOWN
            case ast.Name(id=called) if called in self.script.roles.classes:
                return (
                    Sort.UNKNOWN
                    if _speaks_of_torch(self.script, self.script.roles.classes[called])
                    else Sort.PLAIN
                )
            case ast.Name(id=called) if self._bindings(called, scope)[0] is None:
                return (
                    self._none_of(call.args, scope)
                    if called
                    in (
                        "list",
                        "tuple",
                        "dict",
                        "set",
                        "sorted",
                        "zip",
                        "enumerate",
                        "reversed",
                        "map",
                        "iter",
                        "next",
                    )
                    else Sort.PLAIN
                )
            case ast.Attribute(attr="type") if (
                call.args and self.script.imports.resolve(call.args[0]) in FACTORIES
            ):
                return Sort.TENSOR
            case ast.Attribute(value=value, attr=attr):
                owner = self.of(value, scope)
                if owner is Sort.OPEN and attr in _METHODS:
                    return owner
                if owner is Sort.TENSOR:
                    whole = attr in _METHODS
                    return (
                        Sort.TENSOR
                        if whole
                        else (
                            Sort.PLAIN
                            if attr in ("item", "tolist", "numpy", "size", "dim", "numel")
                            else Sort.UNKNOWN
                        )
                    )
                return owner
        return Sort.UNKNOWN

    def _is_local(self, name: str) -> bool:
        """Whether a qualified name is of a file beside the script."""
        first = name.split(".")[0]
        folder = self.script.path.parent
        return not first or (folder / first).is_dir() or (folder / f"{first}.py").is_file()

    def _none_of(self, parts: list[ast.expr], scope: Scope, own: frozenset[str] = frozenset()) -> Sort:
        """What holds several values is plain where all are; what the targets of a comprehension take is in what is iterated."""
        found = [self.of(p, scope) for p in parts if not (isinstance(p, ast.Name) and p.id in own)]
        return Sort.PLAIN if all(s is Sort.PLAIN for s in found) else Sort.UNKNOWN

    def _mixed(self, parts: list[ast.expr], scope: Scope) -> Sort:
        sorts = {self.of(p, scope) for p in parts}
        if Sort.TENSOR in sorts:
            return Sort.TENSOR
        return Sort.UNKNOWN if Sort.UNKNOWN in sorts else _one(sorts)

    def _same(self, parts: list[ast.expr], scope: Scope) -> Sort:
        return _one({self.of(p, scope) for p in parts})


def is_number(call: ast.Call, name: str | None) -> bool:
    """`torch.tensor(0.5)`: a number without dimensions mixes with tensors of any device."""
    return name == "torch.tensor" and len(call.args) == 1 and isinstance(call.args[0], ast.Constant)


def takes_from_device(call: ast.Call) -> bool:
    """`x.numpy()`, which a tensor of the CPU alone has; `x.cpu().numpy()` any."""
    match call.func:
        case ast.Attribute(value=ast.Call(func=ast.Attribute(attr="cpu")), attr="numpy"):
            return False
        case ast.Attribute(
            value=ast.Attribute(value=ast.Call(func=ast.Attribute(attr="cpu")), attr="data"), attr="numpy"
        ):
            return False
        case ast.Attribute(attr="numpy"):
            return not any(k.arg == "force" for k in call.keywords)
    return False


def _of_torch(name: str) -> Sort:
    """What calling a function of torch gives."""
    parts = name.split(".")
    if name in FACTORIES:
        return Sort.TENSOR
    if parts[1:2] and parts[1] in (
        "nn",
        "optim",
        "utils",
        "distributed",
        "cuda",
        "backends",
        "amp",
        "jit",
        "autograd",
    ):
        return Sort.UNKNOWN if name.startswith(("torch.nn.functional.", "torch.autograd.")) else Sort.PLAIN
    last = parts[-1]
    if last in _NO_TENSOR or last.startswith(("is_", "get_", "set_", "use_", "no_grad", "enable_grad")):
        return Sort.UNKNOWN if last == "load" else Sort.PLAIN
    return Sort.UNKNOWN if last in _SEVERAL or len(parts) > 2 or "sparse" in last else Sort.TENSOR


def _speaks_of_torch(script: Script, node: ast.ClassDef) -> bool:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute | ast.Name):
            name = script.imports.resolve(inner)
            if name is not None and name.split(".")[0] == "torch":
                return True
    return False


def _reaching(bindings: list[ast.AST], home: Scope, line: int | None) -> list[ast.AST]:
    """The bindings from the last one on that stands in the scope's own block, above the line where the name is read."""
    direct = [b for b in bindings if b in home.body and (line is None or b.lineno < line)]
    if not direct:
        return bindings
    last = max(b.lineno for b in direct)
    return [b for b in bindings if getattr(b, "lineno", last) >= last]


def _one(sorts: set[Sort]) -> Sort:
    """The sort that all have, but for what does not decide."""
    decided = (sorts - {Sort.OPEN}) or sorts
    return decided.pop() if len(decided) == 1 else Sort.UNKNOWN


def _results(function: Function) -> Iterator[ast.expr]:
    for node in walk_scope(function.body):
        if isinstance(node, ast.Return | ast.Yield) and node.value is not None:
            yield node.value


def _bound_by(node: ast.AST) -> set[str]:
    """Names that this node itself binds."""
    match node:
        case ast.Assign(targets=targets):
            return {n.id for t in targets for n in _names(t)}
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target) | ast.NamedExpr(target=target):
            return {n.id for n in _names(target)}
        case ast.For(target=target) | ast.comprehension(target=target):
            return {n.id for n in _names(target)}
        case ast.With(items=items):
            return {n.id for i in items if i.optional_vars is not None for n in _names(i.optional_vars)}
        case ast.ExceptHandler(name=str() as name) | ast.ClassDef(name=name):
            return {name}
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return {name}
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return {(a.asname or a.name).split(".")[0] for a in names}
    return set()


def _names(target: ast.expr) -> Iterator[ast.Name]:
    match target:
        case ast.Name():
            yield target
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            for part in parts:
                yield from _names(part)
        case ast.Starred(value=value):
            yield from _names(value)


def _targets(node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> frozenset[str]:
    return frozenset(n.id for g in node.generators for n in _names(g.target))
