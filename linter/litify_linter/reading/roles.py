"""What the names of a training script stand for: model, optimizer, loader, device ...

Roles follow from what a name is made of (`optim.Adam(...)`, a class that inherits from `nn.Module`) and flow through
assignments, tuples, attributes of `self`, function parameters at their call sites and returned values. A name
nobody constructs in the file gets a role from what is done with it (`x.zero_grad()` and `x.step()`: an optimizer).
"""

from __future__ import annotations

import ast
import enum
from collections.abc import Iterator

from litify_linter.reading.imports import Imports, dotted
from litify_linter.reading.scopes import Function, parameters, walk_scope


class Role(enum.Enum):
    """What an object is in a training script."""

    MODEL = "model"
    CRITERION = "criterion"
    OPTIMIZER = "optimizer"
    SCHEDULER = "scheduler"
    LOADER = "loader"
    DATASET = "dataset"
    SAMPLER = "sampler"
    TRANSFORM = "transform"
    DEVICE = "device"
    HAS_GPU = "has_gpu"  # a truth value that says whether there is a GPU
    SCALER = "scaler"
    WRITER = "writer"
    CONFIG = "config"
    PARSER = "parser"


# Qualified constructor or function -> role; a trailing dot means everything below.
CONSTRUCTORS = {
    "torch.optim.lr_scheduler.": Role.SCHEDULER,
    "torch.optim.": Role.OPTIMIZER,
    "torch.utils.data.distributed.": Role.SAMPLER,
    "torch.utils.data.DataLoader": Role.LOADER,
    "torch.utils.data.dataloader.DataLoader": Role.LOADER,
    "torch.utils.data.DistributedSampler": Role.SAMPLER,
    "torch.utils.data.Subset": Role.DATASET,
    "torch.utils.data.TensorDataset": Role.DATASET,
    "torch.utils.data.ConcatDataset": Role.DATASET,
    "torch.utils.data.random_split": Role.DATASET,
    "torch_geometric.loader.": Role.LOADER,
    "torch_geometric.data.DataLoader": Role.LOADER,
    "torch_geometric.datasets.": Role.DATASET,
    "torchvision.datasets.": Role.DATASET,
    "torchvision.transforms.": Role.TRANSFORM,
    "torchvision.models.": Role.MODEL,
    "torch_geometric.nn.": Role.MODEL,
    "torch.nn.DataParallel": Role.MODEL,
    "torch.nn.parallel.": Role.MODEL,
    "torch.hub.load": Role.MODEL,
    "torch.compile": Role.MODEL,
    "torch.jit.script": Role.MODEL,
    "torch.nn.Parameter": None,
    "torch.nn.functional.": None,
    "torch.nn.init.": None,
    "torch.nn.utils.": None,
    "torch.nn.": Role.MODEL,
    "torch.device": Role.DEVICE,
    "torch.accelerator.current_accelerator": Role.DEVICE,
    "torch.cuda.current_device": Role.DEVICE,
    "torch.cuda.is_available": Role.HAS_GPU,
    "torch.accelerator.is_available": Role.HAS_GPU,
    "torch.backends.mps.is_available": Role.HAS_GPU,
    "torch.xpu.is_available": Role.HAS_GPU,
    "torch.cuda.amp.GradScaler": Role.SCALER,
    "torch.amp.GradScaler": Role.SCALER,
    "torch.cuda.amp.grad_scaler.GradScaler": Role.SCALER,
    "torch.utils.tensorboard.SummaryWriter": Role.WRITER,
    "tensorboardX.SummaryWriter": Role.WRITER,
    "argparse.ArgumentParser": Role.PARSER,
    "argparse.Namespace": Role.CONFIG,
}
# Methods that give back the object they are called on.
FLUENT = {
    "to",
    "cuda",
    "cpu",
    "train",
    "eval",
    "float",
    "double",
    "half",
    "bfloat16",
    "apply",
    "requires_grad_",
}
# Methods of a network that its `parameters()` alone do not tell from those of other objects.
ON_NETWORKS = {"to", "cuda", "train", "eval", "state_dict", "load_state_dict", "zero_grad", "apply"}
WRAPPERS = {
    "torch.nn.DataParallel",
    "torch.nn.parallel.DistributedDataParallel",
    "torch.nn.parallel.DataParallel",
}
SELF_BASES = {"torch.nn.Module": Role.MODEL, "torch.utils.data.Dataset": Role.DATASET}

# A name is looked up in its function first, then in the class ("self.x"), then in the module.
Scope = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def constructed_role(name: str) -> Role | None:
    """The role of what calling this qualified name gives."""
    if name in CONSTRUCTORS:
        return CONSTRUCTORS[name]
    for prefix, role in CONSTRUCTORS.items():
        if prefix.endswith(".") and name.startswith(prefix):
            last = name.rpartition(".")[2]
            if role is Role.MODEL and last.endswith("Loss"):
                return Role.CRITERION
            return role
    return None


class Roles:
    """Roles of the names of one file; `of(expression, scope)` answers for any expression."""

    def __init__(self, tree: ast.Module, imports: Imports) -> None:
        self.tree = tree
        self.imports = imports
        self.functions: dict[str, Function] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        self.owner: dict[Function, ast.ClassDef] = {}  # method -> class
        self.outer: dict[Scope, Scope] = {}
        self._known: dict[tuple[Scope, str], Role] = {}
        self._asked: set[Function] = set()  # functions whose result is being looked at
        self._index(tree)
        for _ in range(4):  # roles flow through at most a few calls; stops as soon as nothing is new
            before = len(self._known)
            for scope in [tree, *self.outer]:
                if not isinstance(scope, ast.ClassDef):
                    self._infer(scope)
            if len(self._known) == before:
                break
        self._infer_from_use()

    def of(self, node: ast.expr, scope: Scope) -> Role | None:
        """The role of an expression read in `scope` (a function, or the module), or None."""
        match node:
            case ast.Name() | ast.Attribute():
                name = dotted(node)
                found = self._lookup(name, scope) if name else None
                if found is None and isinstance(node, ast.Attribute):
                    # `self.trainer.model`, `args.device`
                    if node.attr == "device":
                        return Role.DEVICE
                    if node.attr == "module":
                        return self.of(node.value, scope)
                return found
            case ast.Call():
                return self._of_call(node, scope)
            case ast.IfExp(body=ast.Constant(value=bool()), orelse=ast.Constant(value=bool())):
                return Role.HAS_GPU if self.of(node.test, scope) is Role.HAS_GPU else None
            case ast.IfExp():
                return self.of(node.body, scope) or self.of(node.orelse, scope)
            case ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
                parts = node.values if isinstance(node, ast.BoolOp) else [node.operand]
                return Role.HAS_GPU if any(self.of(p, scope) is Role.HAS_GPU for p in parts) else None
            case ast.Constant(value=str(text)):
                return Role.DEVICE if text.partition(":")[0] in {"cuda", "cpu", "mps", "xpu"} else None
            case ast.Subscript() | ast.NamedExpr():
                return self.of(node.value, scope)
            case ast.Await():
                return self.of(node.value, scope)
        return None

    def module_classes(self) -> dict[str, ast.ClassDef]:
        """Classes of this file that inherit, directly or not, from `torch.nn.Module`."""
        return {name: node for name, node in self.classes.items() if self.class_role(name) is Role.MODEL}

    def class_role(self, name: str, seen: frozenset[str] = frozenset()) -> Role | None:
        """MODEL or DATASET for a class of this file, by its bases (bases of this file followed)."""
        node = self.classes.get(name)
        if node is None or name in seen:
            return None
        for base in node.bases:
            qualified = self.imports.resolve(base) or ""
            if qualified in SELF_BASES:
                return SELF_BASES[qualified]
            role = constructed_role(qualified) or self.class_role(dotted(base) or "", seen | {name})
            if role is not None:
                return role
        return None

    def callee(self, call: ast.Call, scope: Scope) -> Function | None:
        """The function or method of this file that a call runs, or None."""
        match call.func:
            case ast.Name(id=name):
                return self.functions.get(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                owner = self.owner.get(scope) if isinstance(scope, Function) else None
                return self._method(owner, name) if owner is not None else None
            case ast.Attribute(value=ast.Name(id=obj), attr=name):
                made = self._instances.get((scope, obj)) or self._instances.get((self.tree, obj))
                if made is None and obj in self.classes:  # `Trainer.train_one_epoch(...)`
                    method = self._method(self.classes[obj], name)
                    return method if method is not None and self._is_static(method) else None
                return self._method(self.classes[made], name) if made in self.classes else None
        return None

    def arguments(self, call: ast.Call, function: Function) -> dict[str, ast.expr]:
        """Parameter name -> argument expression, as far as the call spells them out."""
        names = [a.arg for a in [*function.args.posonlyargs, *function.args.args]]
        if function in self.owner and names and not self._is_static(function):
            names = names[1:]
        given: dict[str, ast.expr] = {}
        for name, value in zip(names, call.args, strict=False):
            if isinstance(value, ast.Starred):
                break
            given[name] = value
        given.update({k.arg: k.value for k in call.keywords if k.arg})
        return given

    # -- building ------------------------------------------------------------------------------------------------

    def _index(self, tree: ast.Module) -> None:
        self._instances: dict[tuple[Scope, str], str] = {}
        stack: list[tuple[Scope, ast.AST]] = [(tree, n) for n in tree.body]
        while stack:
            scope, node = stack.pop()
            inner = scope
            if isinstance(node, ast.ClassDef):
                self.outer[node] = scope
                self.classes.setdefault(node.name, node)
                inner = node
            elif isinstance(node, Function):
                self.outer[node] = scope
                if isinstance(scope, ast.ClassDef):
                    self.owner[node] = scope
                else:
                    self.functions.setdefault(node.name, node)
                inner = node
            stack.extend((inner, child) for child in ast.iter_child_nodes(node))

    @staticmethod
    def _is_static(function: Function) -> bool:
        return any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in function.decorator_list)

    def _method(self, owner: ast.ClassDef, name: str, seen: frozenset[str] = frozenset()) -> Function | None:
        for node in owner.body:
            if isinstance(node, Function) and node.name == name:
                return node
        for base in owner.bases:
            parent = self.classes.get(dotted(base) or "")
            if parent is not None and parent.name not in seen:  # bases may go round in a circle
                found = self._method(parent, name, seen | {owner.name, parent.name})
                if found is not None:
                    return found
        return None

    def _place(self, name: str, scope: Scope) -> Scope:
        """`self.x` belongs to the class, a plain name to the scope that reads it."""
        if name.startswith("self.") and isinstance(scope, Function) and scope in self.owner:
            return self.owner[scope]
        return scope

    def _lookup(self, name: str, scope: Scope) -> Role | None:
        place: Scope | None = self._place(name, scope)
        while place is not None:
            found = self._known.get((place, name))
            if found is not None:
                return found
            place = self.outer.get(place)
        return None

    def _learn(self, target: ast.expr, role: Role | None, scope: Scope) -> None:
        name = dotted(target)
        if name is not None and role is not None:
            self._known.setdefault((self._place(name, scope), name), role)

    def _infer(self, scope: Scope) -> None:
        body: list[ast.stmt] = scope.body
        declared = {n for node in walk_scope(body) if isinstance(node, ast.Global) for n in node.names}
        for node in walk_scope(body):
            match node:
                case ast.Assign(targets=targets, value=value):
                    for target in targets:
                        home = self.tree if isinstance(target, ast.Name) and target.id in declared else scope
                        self._assign(target, value, home)
                case ast.AnnAssign(target=target, value=ast.expr() as value):
                    self._assign(target, value, scope)
                case ast.With(items=items):
                    for item in items:
                        if item.optional_vars is not None:
                            self._assign(item.optional_vars, item.context_expr, scope)
                case ast.Call():
                    self._flow_into_parameters(node, scope)

    def _assign(self, target: ast.expr, value: ast.expr, scope: Scope) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts):
                for one, part in zip(target.elts, value.elts, strict=True):
                    self._assign(one, part, scope)
                return
            roles = self._returned_roles(value, scope, len(target.elts))
            for one, role in zip(target.elts, roles, strict=True):
                self._learn(one, role, scope)
            return
        self._learn(target, self.of(value, scope), scope)
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in self.classes:
            name = dotted(target)
            if name:
                self._instances.setdefault((scope, name), value.func.id)

    def _returned_roles(self, value: ast.expr, scope: Scope, count: int) -> list[Role | None]:
        if isinstance(value, ast.Call):
            function = self.callee(value, scope)
            if function is not None:
                for returned in self._returns(function):
                    if isinstance(returned, ast.Tuple) and len(returned.elts) == count:
                        return [self.of(e, function) for e in returned.elts]
            if self.imports.resolve(value.func) == "torch.utils.data.random_split":
                return [Role.DATASET] * count
        return [None] * count

    def _flow_into_parameters(self, call: ast.Call, scope: Scope) -> None:
        function = self.callee(call, scope)
        if function is None and isinstance(call.func, ast.Name) and call.func.id in self.classes:
            function = self._method(self.classes[call.func.id], "__init__")
        if function is None:
            return
        known = set(parameters(function))
        for name, value in self.arguments(call, function).items():
            if name in known:
                role = self.of(value, scope)
                if role is not None:
                    self._known.setdefault((function, name), role)
                made = self._instances.get((scope, dotted(value) or ""))
                if made is not None and self._instances.setdefault((function, name), made) != made:
                    self._instances[function, name] = ""  # of one class here, of another there

    @staticmethod
    def _returns(function: Function) -> Iterator[ast.expr]:
        for node in walk_scope(function.body):
            if isinstance(node, ast.Return) and node.value is not None:
                yield node.value

    def _of_call(self, call: ast.Call, scope: Scope) -> Role | None:
        qualified = self.imports.resolve(call.func)
        if qualified is not None:
            if qualified == "torch.compile" and call.args:
                return self.of(call.args[0], scope) or Role.MODEL
            role = constructed_role(qualified)
            if role is not None:
                return role
        match call.func:
            case ast.Attribute(attr="parse_args" | "parse_known_args", value=value) if (
                self.of(value, scope) is Role.PARSER
            ):
                return Role.CONFIG
            case ast.Attribute(attr=attr, value=value) if attr in FLUENT:
                return self.of(value, scope)
            case ast.Name(id=name) if name in self.classes:
                return self.class_role(name) or (
                    Role.LOADER if name.endswith(("DataLoader", "Loader")) and self._iterates(name) else None
                )
            case ast.Name(id="getattr") if call.args and self.imports.resolve(call.args[0]) == "torch.optim":
                return Role.OPTIMIZER
            case ast.Call() | ast.Subscript():  # `getattr(optim, name)(...)`, `models.__dict__[arch]()`
                inner = self.of(call.func, scope) if isinstance(call.func, ast.Call) else None
                if inner is not None:
                    return inner
                text = self.imports.resolve(call.func.value) if isinstance(call.func, ast.Subscript) else None
                return Role.MODEL if text == "torchvision.models.__dict__" else None
        function = self.callee(call, scope)
        if function is not None and function not in self._asked:  # it may return a call of itself
            self._asked.add(function)
            try:
                for returned in self._returns(function):
                    role = self.of(returned, function)
                    if role is not None:
                        return role
            finally:
                self._asked.discard(function)
        if qualified is not None and qualified.rpartition(".")[2].endswith("DataLoader"):
            return Role.LOADER
        return None

    def _iterates(self, name: str) -> bool:
        return self._method(self.classes[name], "__iter__") is not None

    def _infer_from_use(self) -> None:
        """Objects built elsewhere, by what is called on them where they have no other role.

        `zero_grad()` and `step()`, or `step()` of what `get_optimizer()` gave: an optimizer. `parameters()`, and what only networks have beside: a network.
        """
        called: dict[tuple[Scope, str], set[str]] = {}
        made: set[tuple[Scope, str]] = set()
        for scope in [self.tree, *self.outer]:
            if isinstance(scope, ast.ClassDef):
                continue
            for node in walk_scope(scope.body):
                if isinstance(node, ast.Assign) and _makes_optimizer(node.value):
                    names = {n for t in node.targets if (n := dotted(t)) is not None}
                    made |= {(self._place(n, scope), n) for n in names}
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    name = dotted(node.func.value)
                    if name is not None and name != "self" and self._lookup(name, scope) is None:
                        called.setdefault((self._place(name, scope), name), set()).add(node.func.attr)
        for (place, name), methods in called.items():
            if {"zero_grad", "step"} <= methods or ("step" in methods and (place, name) in made):
                self._known[(place, name)] = Role.OPTIMIZER
            elif "parameters" in methods and methods & ON_NETWORKS and "step" not in methods:
                self._known[(place, name)] = Role.MODEL


def _makes_optimizer(value: ast.expr) -> bool:
    """`get_optimizer(args, model)`: a function, by its name; a class of that name may only hold an optimizer."""
    name = (dotted(value.func) or "").rpartition(".")[2] if isinstance(value, ast.Call) else ""
    return "optim" in name and name.islower()
