"""What tells the training of a model on data from what only looks like one: tests, measurements, fitted inputs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from litify_linter.reading.file import File
from litify_linter.reading.imports import dotted
from litify_linter.reading.lightning import lineage
from litify_linter.reading.scopes import Function, parameters

OPTIMIZER = re.compile(r"opt|scaler|sgd|adam|solver", re.IGNORECASE)
_OPTIMIZER_CLASS = re.compile(
    r"(?:\w*Adam|\w*SGD|LBFGS|RMSprop|Adagrad|Adadelta|Adafactor|Rprop|Lion|LAMB|Lamb|LARS|Muon)(?:[A-Z]\w*|ax)?$"
)
_SCHEDULER_ENDS = ("LR", "Lr", "Scheduler", "Restarts", "Plateau")
# Loops under these libraries have their engineering taken care of, or are called and repeated by them; with rpc, what is
# trained lives in other processes.
_OTHER_TRAINERS = (
    "accelerate",
    "adaptdl",
    "catalyst",
    "colossalai",
    "composer",
    "deepspeed",
    "fastai",
    "flwr",
    "higher",
    "hivemind",
    "horovod",
    "ignite",
    "jittor",
    "learn2learn",
    "lightning.fabric",
    "lightning_fabric",
    "mmcv.runner",
    "mindspore",
    "mmengine",
    "oneflow",
    "openfl",
    "paddle",
    "pytorch_lightning.lite",
    "ray.rllib",
    "ray.train",
    "syft",
    "torch.distributed.rpc",
    "torchrl",
)
_TESTS = (
    "unittest",
    "pytest",
    "timeit",
    "torch.utils.benchmark",
)  # trained there is for the test, or the clock
# Names of files, and of the folder they lie in, whose loops check or measure something.
_NO_TRAINING = re.compile(
    r"(?:^|[/\\])(?:(?:unit)?tests?|testing|bench(?:mark(?:s|ing)?)?|profil\w*)[/\\][^/\\]*$"
)
_NO_TRAINING_FILE = re.compile(r"(?:^|[/\\])(?:test_|bench|profil)[^/\\]*$|_(?:test|bench|benchmark)\.\w+$")
_MEASURE = re.compile(
    r"(?:^|[._])(?:bench\w*|profil\w*|measur\w*|check\w*|warm_?up|timeit|timing|find_lr|lr_find\w*|attack\w*)(?:$|[._])",
    re.IGNORECASE,
)
_HANDS_OVER = re.compile(r"register|remote|task|worker", re.IGNORECASE)
_TRAINING = re.compile(r"train|learn|epoch|(?:^|[._])(?:fit|fine_?tune)", re.IGNORECASE)
_RUNS = re.compile(r"(?:^|[._])(?:main|run|experiment|objective$)", re.IGNORECASE)
_WEIGHTS = re.compile(r"parameters|(?<!h)params|param_groups|weight|bias|\b[wWbB]\d?\b")
_RUNS_OVER = re.compile(
    r"run|fold|seed|trial|repeat|split|\blrs?\b|rate|config|model|stage|phase|task|load", re.IGNORECASE
)
# What loops go over. A class that fits a model of its own, all data at once, is no script to convert.
_BATCHES = re.compile(r"load|data|batch|iter\b|train|_dl\b|queue")
_COUNTED_BATCHES = re.compile(r"len\(|batch")
_EPOCHS = re.compile(r"epoch|\bep\b|\bepo?\b", re.IGNORECASE)
_SAMPLES = re.compile(r"dset|dataset|\bds\b|sample|example|pairs|corpus|sentences", re.IGNORECASE)
_TAKES_BATCH = re.compile(r"(?:next|__next__|next_\w+|(?:get|load|fetch|read|sample|draw)_\w*batch\w*)")
# Bases of a class that say nothing of who drives it.
_PLAIN_BASES = frozenset({"object", "ABC", "abc.ABC", "Generic", "typing.Generic", "Protocol"})
_GIVEN_MODEL = re.compile(r"(?:net|network|module|\w*model|optimizers?|optim)$")


def file_may_train(file: File) -> bool:
    """Whether a file is one that trains: no tests, no measurement, and no library beside torch runs its loops."""
    if _NO_TRAINING.search(file.path) or _NO_TRAINING_FILE.search(file.path):
        return False
    imported = set(file.imports.names.values())
    if any(name.startswith((*_OTHER_TRAINERS, *_TESTS)) or name.endswith(".Fabric") for name in imported):
        return False
    # More than one test that pytest collects: a file of tests.
    tests = (
        f
        for f in file.tree.body
        if isinstance(f, ast.FunctionDef) and f.name.startswith("test_") and not parameters(f)
    )
    return sum(1 for _ in tests) < 2


def is_measure(name: str) -> bool:
    """Whether a function, or the class it is a method of, is named for a check, a measurement or a search."""
    return _MEASURE.search(name) is not None


def is_registered(node: ast.AST) -> bool:
    """Whether a decorator hands a function to a library that calls it: `@task_interface.register_fl_task(...)`."""
    return any(
        _HANDS_OVER.search(ast.unparse(decorator)) for decorator in getattr(node, "decorator_list", ())
    )


def named(name: str) -> bool:
    """Whether a function is named for training."""
    return _TRAINING.search(name) is not None


def is_named_training(name: str) -> bool:
    """Whether a function is named for training, or for being all that a script does."""
    return named(name) or _RUNS.search(name) is not None


def goes_over_runs(loop: ast.For | ast.AsyncFor | ast.While) -> bool:
    """Whether a loop is one of whole trainings, or of their epochs: over runs, folds, seeds, learning rates."""
    head = loop.test if isinstance(loop, ast.While) else ast.Tuple([loop.target, loop.iter], ast.Load())
    text = ast.unparse(head)
    return _RUNS_OVER.search(text) is not None or _EPOCHS.search(text) is not None


def takes_data(part: ast.AST) -> bool:
    """Whether a loop, or one in it, goes over epochs, batches or samples, or asks for the next batch."""
    for node in ast.walk(part):
        if isinstance(node, ast.For | ast.AsyncFor):
            header = f"{ast.unparse(node.target)} {ast.unparse(node.iter)}"
            if _EPOCHS.search(header) or _SAMPLES.search(header):
                return True
        elif isinstance(node, ast.While) and _EPOCHS.search(ast.unparse(node.test)):
            return True
    return takes_batches(part)


def takes_batches(part: ast.AST) -> bool:
    """Whether a loop, or one in it, goes over batches, or asks for the next one."""
    for node in ast.walk(part):
        match node:
            case ast.For(iter=iterable) | ast.AsyncFor(iter=iterable):
                ranged = [
                    n for n in ast.walk(iterable) if isinstance(n, ast.Name) and n.id in {"range", "trange"}
                ]
                if (_COUNTED_BATCHES if ranged else _BATCHES).search(ast.unparse(iterable)):
                    return True
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if _TAKES_BATCH.fullmatch(name):
                return True
    return False


def stands_alone(cls: ast.ClassDef, file: File) -> bool:
    """Whether a class's bases all stand in this file, or say nothing of who drives it: a base from elsewhere may."""
    known = {"torch.nn.Module", *_PLAIN_BASES}
    bases = [base for a in lineage(cls, file.classes) for base in a.bases]
    names = ((file.imports.resolve(base) or dotted(base) or ast.unparse(base)) for base in bases)
    return all(
        name in known or name in file.classes or name.startswith(("Generic[", "typing.Generic"))
        for name in names
    )


def given_from_outside(cls: ast.ClassDef, method: Function) -> bool:
    """Whether the method or the constructor takes the model or its optimizer: a library's trainer of whatever it is given."""
    constructors = [f for f in cls.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"]
    return any(
        _GIVEN_MODEL.match(name) for function in [*constructors, method] for name in parameters(function)
    )


def takes_model(function: Function) -> bool:
    """Whether a function is given a model or its optimizer, or finds one in its module."""
    names = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    own = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return any(_GIVEN_MODEL.match(name) for name in (names - own) | set(parameters(function)))


class Optimizers:
    """The optimizers that a file makes, and whether weights or inputs are given to them."""

    def __init__(self, file: File) -> None:
        self._file = file
        made = [(call, place) for call, place in file.nodes.get(ast.Call, ()) if _makes_optimizer(call, file)]
        self._given = [
            (given, place) for call, place in made if (given := _given_to(call)) is not None  # type: ignore[arg-type]
        ]

    def change_an_input(self, scope: ast.AST) -> bool:
        """Whether every optimizer of the function, or else of the file, has tensors alone: `Adam([image])`."""
        given = self._of(scope) or [pair[0] for pair in self._given]
        return bool(given) and all(self._is_input(g, scope) for g in given)

    def over_weights(self, scope: ast.AST) -> bool:
        """Whether the function, or the module, makes an optimizer over what is known for weights."""
        return any(_WEIGHTS.search(text) for g in self._of(scope) for text in self._texts(g, scope))

    def made_in(self, loop: ast.stmt) -> bool:
        """Whether an optimizer is made anew each time a loop comes round."""
        return bool(self._of(loop))

    def are_unknown(self) -> bool:
        """Whether the file makes no optimizer: one comes from elsewhere, or the steps are written out."""
        return not self._given

    def _of(self, scope: ast.AST) -> list[ast.expr]:
        if isinstance(scope, ast.Module):
            return [given for given, place in self._given if place.scope is scope]
        first, last = getattr(scope, "lineno", 0), getattr(scope, "end_lineno", 0)
        return [given for given, _ in self._given if first <= given.lineno <= last]

    def _is_input(self, given: ast.expr, scope: ast.AST) -> bool:
        """Whether it is a list of tensors, none of which is known for a weight."""
        match given:
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                return bool(elements) and all(self._is_tensor(one, scope) for one in elements)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self._is_input(left, scope) and (
                    self._is_input(right, scope) or self._starts_empty(right, scope)
                )
            case ast.Name(id=name):
                values = self._values(name, scope)
                return bool(values) and all(
                    isinstance(value, ast.List | ast.Tuple) and self._is_input(value, scope)
                    for value in values
                )
        return False

    def _starts_empty(self, given: ast.expr, scope: ast.AST) -> bool:
        """Whether a name starts as an empty list: what is put into it, nobody follows."""
        values = self._values(given.id, scope) if isinstance(given, ast.Name) else []
        return any(isinstance(value, ast.List) and not value.elts for value in values) or (
            isinstance(given, ast.Name) and not values
        )

    def _is_tensor(self, element: ast.expr, scope: ast.AST) -> bool:
        match element:
            case ast.Starred():
                return False
            case ast.Dict(keys=keys, values=values):
                groups = [
                    v
                    for k, v in zip(keys, values, strict=True)
                    if isinstance(k, ast.Constant) and k.value == "params"
                ]
                return bool(groups) and all(self._is_tensor(group, scope) for group in groups)
        return not any(_WEIGHTS.search(text) for text in self._texts(element, scope))

    def _texts(self, given: ast.expr, scope: ast.AST) -> Iterator[str]:
        """An expression as text, and what the names in it were set to in the function or the module."""
        yield ast.unparse(given)
        for name in {node.id for node in ast.walk(given) if isinstance(node, ast.Name)}:
            yield from map(ast.unparse, self._values(name, scope))

    def _values(self, name: str, scope: ast.AST) -> list[ast.expr]:
        found: list[ast.expr] = []
        for where in {scope, self._file.tree}:
            if isinstance(where, Function | ast.Module):
                found += self._file.assigned(where).get(name, [])
        return found


def _makes_optimizer(call: ast.AST, file: File) -> bool:
    function = call.func if isinstance(call, ast.Call) else None
    name = getattr(function, "attr", None) or getattr(function, "id", None)
    if function is None or name is None or not (name[:1].isupper() or name.startswith("_")):
        return False
    if _OPTIMIZER_CLASS.match(name):
        return True
    return (file.imports.resolve(function) or "").startswith("torch.optim.")


def _given_to(call: ast.Call) -> ast.expr | None:
    """What an optimizer is given to optimize; None for a scheduler, which is given an optimizer."""
    name = (dotted(call.func) or "").rpartition(".")[2]
    if name.endswith(_SCHEDULER_ENDS):
        return None
    return call.args[0] if call.args else next((k.value for k in call.keywords if k.arg == "params"), None)
