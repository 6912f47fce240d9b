"""What the recorder sees of a script, and that the script sees nothing of the recorder."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from litify_converter.verify.trace import Trace

Record = Callable[..., Trace]  # the fixture of conftest.py

MODEL = """
import torch
net = torch.nn.Linear(3, 1)
x, y = torch.randn(8, 3), torch.randn(8, 1)
def loss_of():
    return (net(x) - y).square().mean()
"""


def test_one_step_in_full(record: Record) -> None:
    trace = record(MODEL + """
net.weight.data.fill_(2.0); net.bias.data.fill_(1.0)
half = torch.optim.SGD([{"params": [net.weight]}, {"params": [net.bias], "lr": 0.25}], lr=0.5)
(net.weight.sum() * 3 + net.bias.sum() * 4).backward()
half.step()
""")
    (step,) = trace.steps
    assert (step.optimizer, step.kind, step.parameters, step.lr) == (0, "SGD", 4, (0.5, 0.25))
    assert step.loss == (22.0,)
    assert step.param_norm == pytest.approx(13**0.5)
    assert step.grad_norm == pytest.approx((3 * 9 + 16) ** 0.5)
    assert step.where is not None and step.where.endswith("/train.py:11")
    assert trace.end is not None and trace.end.reason == "exit"
    weight, bias = trace.end.weights[0]
    assert weight.norm == pytest.approx(abs(2.0 - 0.5 * 3) * 3**0.5)
    assert bias.norm == pytest.approx(0.0)


def test_optimizers_closures_accumulation_and_limit(record: Record) -> None:
    """Optimizers are numbered by first step; a closure is recorded after its first call, once; the run stops at 5."""
    trace = record(
        MODEL + """
unused = torch.optim.Adagrad(net.parameters())
second = torch.optim.Adam(net.parameters())
first = torch.optim.LBFGS(net.parameters(), max_iter=4)

def closure():
    first.zero_grad()
    loss = loss_of()
    loss.backward()
    return loss

first.step(closure)
for _ in range(2):
    second.zero_grad()
    (loss_of() / 2).backward()
    torch.autograd.backward([loss_of() / 2])
    second.step()
first.step(closure=closure)
second.step(lambda: 7.0)
print("never reached")
second.step()
""",
        steps=5,
    )
    assert [(step.optimizer, step.kind) for step in trace.steps] == [
        (0, "LBFGS"),
        (1, "Adam"),
        (1, "Adam"),
        (0, "LBFGS"),
        (1, "Adam"),
    ]
    assert [len(step.loss) for step in trace.steps] == [1, 2, 2, 1, 1]
    assert all(step.grad_norm > 0 for step in trace.steps)
    assert trace.steps[4].loss == (7.0,)
    assert trace.steps[0].where is not None and trace.steps[0].where.endswith(
        "train.py:16"
    )  # the closure's return
    assert trace.end is not None and trace.end.reason == "steps" and not trace.end.weights


def test_a_script_runs_as_python_would_run_it(record: Record) -> None:
    trace = record(
        """
from __future__ import annotations
import os, pickle, sys, torch
assert __name__ == "__main__" and sys.modules["__main__"].__dict__ is globals()
assert sys.argv == ["train.py", "--lr", "-1", "--"], sys.argv
assert os.path.samefile(__file__, "train.py") and __spec__ is None
assert sys.path[0] == os.getcwd() == os.environ["PWD"], sys.path
assert sys.stdin.read() == ""
assert os.environ["OMP_NUM_THREADS"] == "1"
class Local: pass
pickle.loads(pickle.dumps(Local()))
torch.manual_seed(5)
open("written.txt", "w").write("in the copy")
torch.save([1], "saved.pt")
def f(x: NotDefined): pass
sys.exit()
""",
        "--lr",
        "-1",
        "--",
    )
    assert trace.end is not None and (trace.end.reason, trace.end.seeds) == ("exit", (5,))


@pytest.mark.parametrize(
    ("source", "error", "data_missing", "line"),
    [
        ("import torch\nopen('no/such.csv')\n", "FileNotFoundError: [Errno 2]", True, "train.py:2"),
        ("def f(:\n    pass\n", "SyntaxError: invalid syntax", False, "train.py:1"),
    ],
)
def test_an_error_is_kept_with_its_place(
    record: Record, source: str, error: str, data_missing: bool, line: str
) -> None:
    end = record(source).end
    assert end is not None and end.error is not None and end.where is not None
    assert end.error.startswith(error)
    assert end.data_missing is data_missing
    assert end.where.endswith(line)


@pytest.mark.slow
@pytest.mark.parametrize("start", ["spawn", "fork"])
def test_steps_of_a_child_process_count(record: Record, start: str) -> None:
    """Distributed scripts train in processes that they start themselves."""
    trace = record(f"""
import torch, torch.multiprocessing as mp

def train(rank):
    net = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(3):
        net(torch.randn(4, 3)).sum().backward()
        optimizer.step()

if __name__ == "__main__":
    process = mp.get_context("{start}").Process(target=train, args=(0,))
    process.start()
    process.join()
    assert process.exitcode == 0
""")
    assert [step.kind for step in trace.steps] == ["SGD"] * 3
