"""Training code in a file beside the script is brought along; the result takes the same steps."""

from __future__ import annotations

import ast
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from trajectory import difference, run

from litify_converter.convert import convert
from litify_converter.refusals import NothingToConvert, StepElsewhere

METERS = """
class Meter:
    def __init__(self):
        self.sum, self.count = 0.0, 0

    def update(self, value, count=1):
        self.sum += value * count
        self.count += count

    @property
    def avg(self):
        return self.sum / max(self.count, 1)
"""

ENGINE = """
import numpy as np
import torch

from meters import Meter

SCALE = 1.0


def accuracy(output, target):
    return (output.argmax(1) == target).float().mean().item() * SCALE


# One pass over the training data.
def train_one_epoch(net, criterion, loader, optimizer, epoch):
    net.train()
    meter = Meter()
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        optimizer.step()
        meter.update(loss.item(), len(x))
    return meter.avg


@torch.no_grad()
def evaluate(net, loader):
    net.eval()
    found = []
    for x, y in loader:
        found.append(accuracy(net(x), y))
    return float(np.mean(found))
"""

MAIN = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

IMPORT


def main():
    x, y = torch.randn(48, 4), torch.randint(0, 3, (48,))
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
    val_loader = DataLoader(TensorDataset(x, y), batch_size=24)
    net = nn.Linear(4, 3)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for epoch in range(3):
        loss = TRAIN(net, criterion, loader, optimizer, epoch)
        found = EVALUATE(net, val_loader)
        print("R: %d %.5f %.5f" % (epoch, loss, found))


if __name__ == "__main__":
    main()
"""

SOLVER = """
import torch
from torch import nn

from .nets import Net


class Base:
    def step(self, x, y):
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.net(x), y)
        loss.backward()
        self.optimizer.step()
        return loss.item()


class Solver(Base):
    def __init__(self, loader, epochs):
        self.loader, self.epochs = loader, epochs
        self.net = Net()
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=0.01)

    def fit(self):
        for epoch in range(self.epochs):
            losses = []
            for x, y in self.loader:
                losses.append(self.step(x, y))
            print("R: %.5f" % (sum(losses) / len(losses)))
"""
NETS = """
from torch import nn


class Net(nn.Linear):
    def __init__(self):
        super().__init__(4, 3)
"""
SOLVES = """
import torch
from torch.utils.data import DataLoader, TensorDataset

from work import Solver

x, y = torch.randn(48, 4), torch.randint(0, 3, (48,))
solver = Solver(DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True), 3)
solver.fit()
"""


@pytest.fixture(autouse=True)
def own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The files of a test can be imported, and are forgotten after it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    forget(tmp_path)


def forget(folder: Path) -> None:
    for name, module in list(sys.modules.items()):
        if str(folder) in str(getattr(module, "__file__", None)):
            del sys.modules[name]


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"))
    return folder / "main.py"


def script(imported: str, train: str, evaluate: str) -> str:
    text = MAIN.replace("IMPORT", textwrap.dedent(imported).strip())
    return text.replace("TRAIN", train).replace("EVALUATE", evaluate)


def check_same_steps(main: Path) -> str:
    """Convert; both sides take the same steps and print the same results. Returns the result's text."""
    text = convert(main).text
    raw = run(main.read_text())
    forget(main.parent)
    lit = run(text)
    assert raw.error is None and raw.steps
    assert difference(raw, lit) is None
    return text


@pytest.mark.parametrize(
    ("imported", "train", "evaluate"),
    [
        ("from engine import evaluate, train_one_epoch", "train_one_epoch", "evaluate"),
        ("from engine import evaluate as test, train_one_epoch as train", "train", "test"),
        ("import engine", "engine.train_one_epoch", "engine.evaluate"),
        ("import engine as lib", "lib.train_one_epoch", "lib.evaluate"),
        ("from engine import *", "train_one_epoch", "evaluate"),
        ("from engine import train_one_epoch\nfrom engine import evaluate", "train_one_epoch", "evaluate"),
    ],
)
def test_function_of_a_file_beside(tmp_path: Path, imported: str, train: str, evaluate: str) -> None:
    files = {"meters.py": METERS, "engine.py": ENGINE, "main.py": script(imported, train, evaluate)}
    text = check_same_steps(write(tmp_path, files))
    assert "def training_step" in text and "def validation_step" in text
    assert "engine.train_one_epoch" not in text and "import train_one_epoch" not in text


def test_function_handed_on_by_a_package(tmp_path: Path) -> None:
    files = {
        "meters.py": METERS,
        "lib/__init__.py": "from .engine import *\nfrom .engine import train_one_epoch\n",
        "lib/engine.py": ENGINE,
        "main.py": script(
            "from lib import train_one_epoch\nfrom lib.engine import evaluate", "train_one_epoch", "evaluate"
        ),
    }
    assert "from lib.engine import accuracy" in check_same_steps(write(tmp_path, files))


def test_file_named_as_the_network(tmp_path: Path) -> None:
    """`from model import Net` stays what it is where `model` has become an attribute."""
    main = """
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from model import Net

    x, y = torch.randn(48, 4), torch.randint(0, 3, (48,))
    loader = DataLoader(TensorDataset(x, y), batch_size=16)
    model = Net().to("cpu")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(2):
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(inputs), labels)
            loss.backward()
            optimizer.step()
    print("R: %.5f" % model(x).sum().item())
    """
    text = check_same_steps(write(tmp_path, {"model.py": NETS, "main.py": textwrap.dedent(main)}))
    assert "from model import Net" in text and "self.model = Net()" in text


def test_solver_class_and_its_base(tmp_path: Path) -> None:
    files = {
        "work/__init__.py": "from .solver import Solver\n",
        "work/solver.py": SOLVER,
        "work/nets.py": NETS,
        "main.py": SOLVES,
    }
    text = check_same_steps(write(tmp_path, files))
    assert "from work.nets import Net" in text and "from work import" not in text


def test_static_methods(tmp_path: Path) -> None:
    engine = ENGINE.replace("# One pass over the training data.\n", "")
    at = engine.index("def train_one_epoch")
    methods = engine[at:].replace("def train_one_epoch", "@staticmethod\ndef train_one_epoch")
    methods = methods.replace("@torch.no_grad()", "@staticmethod\n@torch.no_grad()")
    engine = engine[:at] + "class Runner(object):\n" + textwrap.indent(methods, "    ")
    main = script("import engine", "engine.Runner.train_one_epoch", "engine.Runner.evaluate")
    text = check_same_steps(write(tmp_path, {"meters.py": METERS, "engine.py": engine, "main.py": main}))
    assert "class Runner" not in text and "def validation_step" in text


def test_names_that_mean_something_else_are_changed(tmp_path: Path) -> None:
    """The script has a `Meter`, a `SCALE` and an `accuracy` of its own."""
    own = "from engine import evaluate, train_one_epoch\n\nMeter = SCALE = accuracy = None"
    files = {"meters.py": METERS, "engine.py": ENGINE, "main.py": script(own, "train_one_epoch", "evaluate")}
    text = check_same_steps(write(tmp_path, files))
    assert "engine_accuracy" in text and "engine_Meter" in text


def test_effects_of_importing_the_file_stay(tmp_path: Path) -> None:
    engine = ENGINE.replace("SCALE = 1.0", "torch.manual_seed(3)").replace(" * SCALE", "")
    engine = engine.replace(
        "append(accuracy(net(x), y))", "append((net(x).argmax(1) == y).float().mean().item())"
    )
    main = script("from engine import evaluate, train_one_epoch", "train_one_epoch", "evaluate")
    text = check_same_steps(write(tmp_path, {"meters.py": METERS, "engine.py": engine, "main.py": main}))
    assert "import engine" in text


def test_globals_of_the_file_are_refused(tmp_path: Path) -> None:
    engine = ENGINE.replace("    net.train()\n", "    global SCALE\n    SCALE = 2.0\n    net.train()\n")
    main = script("from engine import evaluate, train_one_epoch", "train_one_epoch", "evaluate")
    with pytest.raises(StepElsewhere, match="global `SCALE` of that file") as refusal:
        convert(write(tmp_path, {"meters.py": METERS, "engine.py": engine, "main.py": main}))
    assert refusal.value.line == 5


def test_a_script_that_trains_itself_keeps_its_imports(tmp_path: Path) -> None:
    inline = ENGINE.replace("from meters import Meter", METERS) + MAIN.replace(
        "IMPORT", "import engine  # noqa"
    )
    inline = inline.replace("TRAIN", "train_one_epoch").replace("EVALUATE", "evaluate")
    text = check_same_steps(write(tmp_path, {"meters.py": METERS, "engine.py": ENGINE, "main.py": inline}))
    assert "import engine" in text


def test_files_that_do_not_train_stay_where_they_are(tmp_path: Path) -> None:
    files = {"meters.py": METERS, "main.py": "import torch\nfrom meters import Meter\n\nprint(Meter().avg)\n"}
    with pytest.raises(NothingToConvert):
        convert(write(tmp_path, files))


@pytest.mark.parametrize("engine", ["def train_one_epoch(:\n", "", "x = 1\n"])
def test_a_file_beside_that_cannot_be_read_is_no_crash(tmp_path: Path, engine: str) -> None:
    main = script("from engine import evaluate, train_one_epoch", "train_one_epoch", "evaluate")
    with pytest.raises(NothingToConvert):
        convert(write(tmp_path, {"engine.py": engine, "main.py": main}))
    ast.parse(main)


def test_networks_of_a_star_import_are_made_in_the_script_s_order(tmp_path: Path) -> None:
    """Each draws its first weights: one that stays in the set-up is not made before one that was made earlier."""
    (tmp_path / "models.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Linear):\n    pass\n\n\nclass Features(nn.Linear):\n    pass\n"
    )
    script = tmp_path / "train.py"
    script.write_text("""\
import torch
from torch import nn
from models import *

width = 4
net = Net(4, 3)
features = Features(4, 4)
features.eval()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
shape = (width, 2)
for epoch in range(2):
    for x, y in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(features(x)), y) * shape[1]
        loss.backward()
        optimizer.step()
""")
    text = convert(script).text
    made = (
        text.index("LitNet(", text.index("Net(4, 3)"))
        if "self.net = Net(" in text
        else text.index("Net(4, 3)")
    )
    assert made < text.index("Features(4, 4)") or "self.features = Features(" in text
