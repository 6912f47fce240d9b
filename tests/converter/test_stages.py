"""Each stage of the converter by itself: read, regions, lifetimes, report, refusals; and any Python at all."""

from __future__ import annotations

import ast
import json
import random
import sysconfig
import textwrap
from pathlib import Path

import libcst as cst
import pytest

from litify_converter.convert import convert_script
from litify_converter.lifetimes import Home, find_homes
from litify_converter.plan import general_plan
from litify_converter.read import Script, parse, read
from litify_converter.refusals import Refusal, UnreadableScript
from litify_converter.regions import find_nest
from litify_converter.report import as_json, as_text

HEAD = """
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader
"""
STEP = """
        optimizer.zero_grad()
        loss = F.cross_entropy(model(data), target)
        loss.backward()
        optimizer.step()
"""
LOOP = f"for epoch in range(3):\n    for data, target in loader:{STEP}"
SETUP = """
loader = DataLoader([1, 2], batch_size=2)
model = nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
"""


def script(text: str) -> Script:
    return parse(textwrap.dedent(text), Path("train.py"))


# -- read --------------------------------------------------------------------------------------------------------------

ODD_SYNTAX = {
    "semicolons": "a = 1; b = 2;\nif a: b = 3; c = 4\nelse: pass\n",
    "one-line blocks": "for i in range(3): print(i)\nwhile False: pass\nwith open('x') as f: f.read(); f.close()\n",
    "decorators": "@a\n@b(1)\ndef f(x, *, y=1): return x\n\n@c\nclass C(B, k=1):\n    x: int = 1\n    def g(self): ...\n",
    "match": "match x:\n    case [1, *rest] if rest: y = 1\n    case {'a': b, **c}:\n        y = 2\n    case _: y = 3\n",
    "try": "try: a()\nexcept (A, B) as e:\n    b()\nexcept C: c(); d()\nelse:\n    e()\nfinally: f()\n",
    "async": "async def f():\n    async with a as b: c()\n    async for x in y:\n        await x\n    else: z()\n",
    "nested functions": "def a():\n    def b():\n        def c(): return 1\n        return c\n    return b\n",
    "if chain": "if a:\n    b\nelif c: d; e\nelif f:\n    g\nelse:\n    h\n",
    "strings": 'x = """a\n  b\n""" ; y = f"{x!r:>{3}}"\nz = ("a"\n     "b")\n',
    "comments between": "a = 1\n# one\n\n# two\nb = 2  # three\nif a:  # four\n    # five\n    b = 3\n    # six\nc = 4\n",
    "lambda and comprehension": "f = lambda x: (y for y in x); g = [a for a in b if a for c in a]\n",
    "no newline at the end": "a = 1\nb = 2",
    "line continuation": "a = 1 + \\\n    2; b = a\n",
    "global and del": "def f():\n    global a; nonlocal_ = 1; del a\n",
}


@pytest.mark.parametrize("text", ODD_SYNTAX.values(), ids=ODD_SYNTAX)
def test_read_pairs_each_statement_in_both_trees(text: str) -> None:
    """What ast decides about is exactly what libcst rewrites."""
    read_script = script(text)
    every = [node for node in ast.walk(read_script.tree) if isinstance(node, ast.stmt)]
    assert set(every) == set(read_script.cst_of)
    for node, twin in read_script.cst_of.items():
        again = ast.parse(cst.Module([twin]).code)
        if isinstance(node, ast.If) and not again.body:  # an elif is no statement by itself
            continue
        assert ast.dump(again.body[0]) == ast.dump(node), ast.unparse(node)


@pytest.mark.parametrize("text", ODD_SYNTAX.values(), ids=ODD_SYNTAX)
def test_read_keeps_the_meaning(text: str) -> None:
    """Splitting `a; b` and `if x: y` into lines changes nothing."""
    assert ast.dump(ast.parse(script(text).module.code)) == ast.dump(ast.parse(textwrap.dedent(text)))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "empty"),
        (b"  \n\n", "empty"),
        (b"\x00\x01", "not a text file"),
        (b"\xff\xfe\xff", "cannot decode"),
        (b"# coding: nonsense\n", "cannot decode"),
        (b"print 'a'\n", "Python 2"),
        (b"try:\n    a\nexcept A, e:\n    b\n", "Python 2"),
        (b"def f(:\n", "syntax error"),
        (b"%matplotlib inline\n", "syntax error"),
    ],
)
def test_unreadable_file_says_why(raw: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_bytes(raw)
    with pytest.raises(UnreadableScript, match=message):
        read(path)


def test_syntax_error_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text("a = 1\nb = 2\nc = = 3\n")
    with pytest.raises(UnreadableScript) as error:
        read(path)
    assert error.value.line == 3


@pytest.mark.parametrize("path", ["missing.py", "."])
def test_no_file(path: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableScript):
        read(tmp_path / path)


# -- regions -----------------------------------------------------------------------------------------------------------


def test_nest_of_loops_in_the_module() -> None:
    text = f"{HEAD}{SETUP}for epoch in range(1, 4):\n    total = 0\n    for i, (data, target) in enumerate(loader):{STEP}    print(total)\n"
    assert str(find_nest(script(text))) == textwrap.dedent("""\
        entry module, line 10
        epochs epoch: 1 .. 4
        batches of loader
        start:
          module:11 total = 0
        step:
          module:13 optimizer.zero_grad()
          module:14 loss = F.cross_entropy(model(data), target)
          module:15 loss.backward()
          module:16 optimizer.step()
        end:
          module:17 print(total)""")


def test_nest_through_functions() -> None:
    """train() is written out: arguments bound before its body, its result after it."""
    text = f"""{HEAD}
def train(net, batches, optimizer, log=False):
    net.train()
    for data, target in batches:
        loss = F.cross_entropy(net(data), target)
        loss.backward()
        optimizer.step()
    return loss.item()


def main():
    loader = DataLoader([1])
    model = nn.Linear(1, 1)
    opt = torch.optim.SGD(model.parameters(), lr=1)
    for epoch in range(3):
        last = train(model, loader, optimizer=opt)
        print(last)


main()
"""
    assert str(find_nest(script(text))) == textwrap.dedent("""\
        entry main, line 20
        epochs epoch: 0 .. 3
        batches of batches
        start:
          train:net = main:model
          train:batches = main:loader
          train:optimizer = main:opt
          train:log = module:False
          train:8 net.train()
        step:
          train:10 loss = F.cross_entropy(net(data), target)
          train:11 loss.backward()
          train:12 optimizer.step()
        end:
          main:last = train:loss.item()
          main:22 print(last)""")


def test_nest_without_batches() -> None:
    text = f"{HEAD}{SETUP}data, target = 1, 2\nfor epoch in range(9):{STEP.replace('        ', '    ')}    print(loss)\n"
    dump = str(find_nest(script(text)))
    assert "batches of nothing (one step per epoch)" in dump
    assert "end:" in dump


def test_nest_of_one_endless_loop() -> None:
    text = f"{HEAD}{SETUP}data, target, it = 1, 2, 0\nwhile True:{STEP.replace('        ', '    ')}    it += 1\n    if it > 3:\n        break\n"
    dump = str(find_nest(script(text)))
    assert "epochs -: one" in dump
    assert "batches of itertools.count()" in dump


# -- lifetimes ---------------------------------------------------------------------------------------------------------


def homes(text: str) -> dict[str, Home]:
    read_script = script(text)
    found = find_homes(read_script, general_plan(read_script, find_nest(read_script)))
    return {variable.name: home for variable, home in found.home.items()}


def in_main(body: str, setup: str = "", after: str = "pass") -> str:
    lines = [*SETUP.splitlines(), *setup.splitlines(), *body.splitlines(), after]
    return f"{HEAD}\ndef main():\n" + textwrap.indent("\n".join(lines), "    ") + "\n\nmain()\n"


def test_home_of_what_stays_in_one_hook() -> None:
    found = homes(in_main(LOOP))
    assert found["loss"] is found["data"] is found["target"] is Home.LOCAL
    assert found["model"] is Home.ATTRIBUTE
    assert found["optimizer"] is Home.OPTIMIZER


@pytest.mark.parametrize(
    ("setup", "body", "after", "name", "home"),
    [
        ("", f"{LOOP}    print(loss)", "pass", "loss", Home.ATTRIBUTE),
        ("", LOOP, "print(loss)", "loss", Home.ATTRIBUTE),
        ("", f"{LOOP}        n = 1\n        print(n)", "pass", "n", Home.LOCAL),
        ("n = 0", f"{LOOP}        n += 1", "pass", "n", Home.ATTRIBUTE),
        ("", f"{LOOP}        if loss > 1:\n            n = 1\n        print(n)", "pass", "n", Home.ATTRIBUTE),
        ("scale = 2", f"{LOOP}        print(scale)", "pass", "scale", Home.ATTRIBUTE),
        ("", f"{LOOP}    print(epoch)", "pass", "epoch", Home.EPOCH),
        ("device = torch.device('cpu')", f"{LOOP}        print(device)", "pass", "device", Home.DEVICE),
        ("", f"{LOOP}    print(len(loader))", "pass", "loader", Home.LOADER),
    ],
)  # fmt: skip
def test_home(setup: str, body: str, after: str, name: str, home: Home) -> None:
    assert homes(in_main(body, setup, after))[name] is home


def test_home_of_a_global_that_other_functions_share() -> None:
    text = f"{HEAD}\ncount = 0\n\ndef add():\n    global count\n    count += 1\n{SETUP}{LOOP}        add()\n        print(count)\n"
    assert homes(text)["count"] is Home.GLOBAL


# -- report ------------------------------------------------------------------------------------------------------------


def test_report() -> None:
    conversion = convert_script(script(HEAD + SETUP + LOOP))
    text = as_text(conversion, Path("train_lit.py"))
    assert text.startswith("train.py -> train_lit.py\n")
    assert "automatic optimization" in text
    fields = json.loads(as_json(conversion, Path("train_lit.py")))
    assert fields["converted"] is True
    assert fields["optimization"] == "automatic"
    assert set(fields["hooks"]) >= {"training_step", "configure_optimizers"}
    assert {"kind", "line", "text"} == set(fields["notes"][0])


def test_report_says_why_an_idiom_was_left_out() -> None:
    conversion = convert_script(
        script(
            HEAD + SETUP + LOOP.replace("        loss.backward()", "        loss.backward(retain_graph=True)")
        )
    )
    looks = [note for note in conversion.plan.notes if note.kind == "look"]
    assert any("backward() is called with arguments" in n.text and n.line == 14 for n in looks)
    assert "train.py:14: needs a look: " in as_text(conversion, Path("out.py"))


# -- refusals ----------------------------------------------------------------------------------------------------------

METHODS = f"""{SETUP}
class Fitter:
    def __init__(self):
        self.optimizer = torch.optim.SGD(model.parameters(), lr=1)

    def update(self, data, target):
        F.cross_entropy(model(data), target).backward()
        self.optimizer.step()

fitters = [Fitter()]
for data, target in loader:
    fitters[0].update(data, target)
"""
REFUSED = {
    "gradients, but no step": ("LC205", 14, f"{SETUP}{LOOP}".replace("optimizer.step()", "pass")),
    "class": ("LC202", 17, METHODS),
    "optimizer bound again": (
        "LC206",
        17,
        f"{SETUP}{LOOP}    if epoch == 1:\n        optimizer = torch.optim.Adam(model.parameters())\n",
    ),
    "optimizer bound again by a function": (
        "LC206",
        12,
        f"{SETUP}def anew():\n    global optimizer\n    optimizer = torch.optim.Adam(model.parameters())\n\n{LOOP}    anew()\n",
    ),
    "optimizer bound again by a method": (
        "LC206",
        23,
        f"{SETUP}class Fitter:\n    def __init__(self):\n        self.optimizer = self.make(1)\n\n"
        "    def make(self, lr):\n        return torch.optim.SGD(model.parameters(), lr=lr)\n\n"
        "    def fit(self):\n        for epoch in range(3):\n            for data, target in loader:\n"
        "                self.optimizer.zero_grad()\n                F.cross_entropy(model(data), target).backward()\n"
        "                self.optimizer.step()\n            self.optimizer = self.make(0.1)\n\nFitter().fit()\n",
    ),
    "processes": (
        "LC207",
        18,
        f"import torch.multiprocessing as mp\n\ndef work(rank):\n{textwrap.indent(SETUP + LOOP, '    ')}\nmp.spawn(work, nprocs=2)\n",
    ),
    "nothing trains": ("LC101", None, "print(1)\n"),
    "converted already": ("LC102", 7, "import litify\nclass A(litify.LightningModule):\n    pass\n"),
    "called elsewhere too": (
        "LC201",
        19,
        f"{SETUP}def train(data, target):{STEP.replace('        ', '    ')}\n"
        "for epoch in range(2):\n    for data, target in loader:\n        train(data, target)\ntrain(*next(iter(loader)))\n",
    ),
    "an optimizer that may be missing": (
        "LC205",
        10,
        f"{SETUP}second = torch.optim.SGD(net.parameters(), lr=0.1) if len(data) > 3 else None\n"
        f"{LOOP}        if second is not None:\n            second.step()\n",
    ),
    "else": ("LC203", 10, f"{SETUP}{LOOP}    if epoch > 1:\n        break\nelse:\n    print(1)\n"),
    "epochs from somewhere": ("LC203", 10, f"{SETUP}{LOOP.replace('range(3)', 'count()')}"),
    "decorated": (
        "LC205",
        11,
        f"{SETUP}@torch.enable_grad()\ndef train(data, target):{STEP.replace('        ', '    ')}\n"
        "for epoch in range(2):\n    for data, target in loader:\n        train(data, target)\n",
    ),
    "returns early": (
        "LC204",
        12,
        f"{SETUP}def train(data, target):\n    if data is None:\n        return\n{STEP.replace('        ', '    ')}\n"
        "for epoch in range(2):\n    for data, target in loader:\n        train(data, target)\n",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_has_its_code_and_line(name: str) -> None:
    code, line, text = REFUSED[name]
    with pytest.raises(Refusal) as refusal:
        convert_script(script(HEAD + text))
    assert (refusal.value.code, refusal.value.line) == (code, line)
    assert refusal.value.advice
    assert "\n" not in str(refusal.value)


# -- robustness --------------------------------------------------------------------------------------------------------

ODD_SCRIPTS = {
    "recursive function": "def f(n):\n    return f(n - 1) if n else 0\n\n\nf(3)\n",
    "functions that call each other": "def a():\n    return b()\n\n\ndef b():\n    return a()\n\n\nx = a\n",
    "lambda over lines": "x = list(map(\n    lambda name:\n        name.upper(), 'ab'))\n",
    "comprehension over lines": "x = [\n    a\n    for a\n    in 'ab'\n    if a\n]\ny = sum(\n    1\n    for a\n    in x)\n",
    "star import": "from os.path import *\nprint(join('a', 'b'))\n",
    "class in a function": "def f():\n    class A:\n        b = 1\n        def c(self): return self.b\n    return A().c()\n\n\nf()\n",
    "del and global": "def f():\n    global g\n    g = 1\n\n\nf()\ndel g\n",
}
LIBRARY = sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py"))
TRAINS = "\n\nimport torch\nmodel = torch.nn.Linear(1, 1)\noptimizer = torch.optim.SGD(model.parameters(), lr=1)\nfor epoch in range(2):\n    optimizer.zero_grad()\n    model(torch.ones(1)).sum().backward()\n    optimizer.step()\n"
SAMPLE = random.Random(0).sample(
    [p for p in LIBRARY if p.stat().st_size < 25_000 and "site-packages" not in p.parts], 15
)


@pytest.mark.parametrize("text", ODD_SCRIPTS.values(), ids=ODD_SCRIPTS)
def test_odd_code_around_the_loop(text: str) -> None:
    result = convert_script(parse(text + TRAINS, Path("train.py"))).text
    compile(result, "train_lit.py", "exec", dont_inherit=True)


@pytest.mark.parametrize("path", SAMPLE, ids=lambda p: p.name)
def test_any_python_converts_or_is_refused(path: Path) -> None:
    """Nothing but a refusal comes out of a script, whatever is in it: files of the standard library, with a loop added."""
    try:
        text = read(path).text
    except UnreadableScript:
        return
    for source in (text, text + TRAINS):
        try:
            result = convert_script(parse(source, Path("train.py"))).text
        except (Refusal, UnreadableScript) as reason:
            assert str(reason)
        else:
            compile(result, "train_lit.py", "exec", dont_inherit=True)


def test_every_refusal_has_a_section_in_the_docs() -> None:
    """Each code is explained in docs/converting.md, with what it takes by hand."""
    text = (Path(__file__).parents[2] / "docs" / "converting.md").read_text()
    kinds = [Refusal, *Refusal.__subclasses__(), UnreadableScript]
    codes = {kind.code: kind.effort for kind in kinds if kind is not Refusal}
    for code, effort in codes.items():
        assert f"\n## {code}\n" in text
        row = next(line for line in text.splitlines() if line.startswith(f"| [{code}]"))
        assert effort in row or code in ("LC001", "LC900")
