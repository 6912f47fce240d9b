"""What the converter reads off a script before it plans: names bound, read and flowing in; roles of names."""

from __future__ import annotations

import ast

import pytest

from litify_converter.read import parse
from litify_linter.reading import scopes
from litify_linter.reading.roles import Role

HEAD = """
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader
"""


# -- scopes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a = b = c", {"a", "b"}),
        ("(a, *b), c[0], d.e = x", {"a", "b"}),
        ("for i, (j, k) in x: y = 1", {"i", "j", "k", "y"}),
        ("with a as b, c as (d, e): pass", {"b", "d", "e"}),
        ("import a.b, c.d as e\nfrom f import g as h, i", {"a", "e", "h", "i"}),
        ("try: pass\nexcept E as e: pass", {"e"}),
        ("x = [i for i in y]", {"x"}),
        ("x = [(n := i) for i in y]", {"x", "n"}),
        ("if (n := f()): pass", {"n"}),
        ("def f(a):\n    b = 1", {"f"}),
        ("class C:\n    b = 1", {"C"}),
        ("match a:\n    case {'k': b, **c}: pass\n    case [d, *e] as f: pass", {"b", "c", "d", "e", "f"}),
        ("del a", {"a"}),
        ("a += 1", {"a"}),
        ("f = lambda a: a", {"f"}),
        ("x: int\ny: int = 1", {"x", "y"}),
    ],
)
def test_bound(text: str, names: set[str]) -> None:
    assert scopes.bound(ast.parse(text).body) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a = b", {"b"}),
        ("a = 1\nb = a", set()),
        ("if c:\n    a = 1\nb = a", {"c", "a"}),
        ("if c:\n    a = 1\nelse:\n    a = 2\nb = a", {"c"}),
        ("if c:\n    raise E\nelse:\n    a = 2\nb = a", {"c", "E"}),
        ("for i in x:\n    a = i\nb = a", {"x", "a"}),
        ("while x:\n    a = 1\n    b = a", {"x"}),
        ("try:\n    a = f()\nexcept E:\n    pass\nb = a", {"f", "E", "a"}),
        ("try:\n    a = f()\nexcept E:\n    raise\nb = a", {"f", "E"}),
        ("try:\n    pass\nfinally:\n    a = 1\nb = a", set()),
        ("a += 1", {"a"}),
        ("with f() as a:\n    b = a", {"f"}),
        ("x = [a for a in b]", {"b"}),
        ("x = [a for a in a]", {"a"}),
        ("x = {k: v for k, v in d for d in e}", {"d", "e"}),
        ("f = lambda a: a + b", {"b"}),
        ("def f(a=c):\n    return a + b + g\ng = 1", {"b", "c", "g"}),
        ("n = 1\nprint(n := 2, n)", set()),
        ("class C(B):\n    x = y\n    z = x", {"B", "y"}),
        ("match a:\n    case 1:\n        b = 1\n    case _:\n        b = 2\nc = b", {"a"}),
        ("a.b = 1\nc[i] = 2", {"a", "c", "i"}),
    ],
)
def test_exposed(text: str, names: set[str]) -> None:
    """What flows into a piece of code: names it may read before it has surely bound them."""
    found = scopes.exposed(ast.parse(text).body) - {"print"}
    assert found == names


def test_flow_answers_both() -> None:
    body = ast.parse("if c:\n    a = b = 1\nelse:\n    a = d").body
    names, sure = scopes.flow(body, {"c"})
    assert names == {"d"}
    assert "a" in sure
    assert "b" not in sure


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("def f(a, *b, c=1, **d):\n    return a, b, c, d, e", {"e"}),
        ("def f():\n    global a\n    a = 1", {"a"}),
        ("def f():\n    x = 1\n    def g():\n        return x + y\n    return g", {"y"}),
        ("def f():\n    return [x for x in z]", {"z"}),
        ("def f():\n    def g():\n        nonlocal_ = h\n    return g", {"h"}),
    ],
)
def test_free(text: str, names: set[str]) -> None:
    function = ast.parse(text).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert scopes.free(function) == names


# -- roles -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "role"),
    [
        ("m = nn.Sequential(nn.Linear(1, 1)).to('cuda')", "m", Role.MODEL),
        ("class N(nn.Module): pass\nm = n = N()", "n", Role.MODEL),
        ("class A(nn.Module): pass\nclass B(A): pass\nm = B()", "m", Role.MODEL),
        ("g, d = torch.optim.Adam([]), torch.optim.SGD([], lr=1)", "d", Role.OPTIMIZER),
        ("o = torch.optim.Adam([])\ns = torch.optim.lr_scheduler.StepLR(o, 1)", "s", Role.SCHEDULER),
        ("d = torch.device('cuda' if torch.cuda.is_available() else 'cpu')", "d", Role.DEVICE),
        ("d = 'cuda:0' if torch.cuda.is_available() else 'cpu'", "d", Role.DEVICE),
        ("use = not x.no_cuda and torch.cuda.is_available()", "use", Role.HAS_GPU),
        ("c = nn.CrossEntropyLoss()", "c", Role.CRITERION),
        ("l = DataLoader([], 1)\nk = l", "k", Role.LOADER),
        ("def make():\n    return DataLoader([], 1)\nl = make()", "l", Role.LOADER),
        ("def make():\n    return nn.Linear(1, 1), 3\nm, n = make()", "m", Role.MODEL),
        ("s = torch.cuda.amp.GradScaler()", "s", Role.SCALER),
        ("from torch.utils.tensorboard import SummaryWriter\nw = SummaryWriter()", "w", Role.WRITER),
        ("import argparse\np = argparse.ArgumentParser()\na = p.parse_args()", "a", Role.CONFIG),
        ("from other import get_optimizer\no = get_optimizer(m)\no.step()", "o", Role.OPTIMIZER),
        ("from other import NoamOptim\no = NoamOptim(m)\no.step()", "o", None),
        ("from other import get_optimizer\no = get_optimizer(m)\no.run()", "o", None),
        ("x = torch.zeros(3)", "x", None),
        ("loss = F.cross_entropy(a, b)", "loss", None),
        ("w = nn.Parameter(torch.zeros(1))", "w", None),
    ],
)
def test_role(text: str, name: str, role: Role | None) -> None:
    read_script = parse(HEAD + text)
    assert read_script.roles.of(ast.Name(name, ast.Load()), read_script.tree) is role


def test_role_of_a_parameter_comes_from_its_calls() -> None:
    read_script = parse(
        f"{HEAD}\ndef f(net, opt, x=1):\n    pass\n\nf(nn.Linear(1, 1), opt=torch.optim.Adam([]))"
    )
    function = read_script.roles.functions["f"]
    roles = [read_script.roles.of(ast.Name(n, ast.Load()), function) for n in ("net", "opt", "x")]
    assert roles == [Role.MODEL, Role.OPTIMIZER, None]
