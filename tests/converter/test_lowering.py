"""Lowering: constructs rewritten in plainer Python before the script is taken apart. Text in, text out."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from litify_converter.convert import convert_script
from litify_converter.lowering import lower
from litify_converter.lowering.folding import specialised
from litify_converter.read import parse
from litify_converter.refusals import Distributed

IMPORTS = """\
import os
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler
from tqdm import tqdm
"""
STEP = "optimizer.zero_grad()\nloss = net(x).sum()\nloss.backward()\noptimizer.step()\n"


def script(text: str) -> str:
    return IMPORTS + textwrap.dedent(text).replace(
        "STEP", "loss = net(x).sum(); loss.backward(); optimizer.step()"
    )


def lowered(text: str) -> str:
    """The script's text behind its imports, lowered."""
    return lower(parse(script(text), Path("train.py"))).text.removeprefix(IMPORTS)


def check_lowered(before: str, after: str) -> None:
    assert lowered(before) == textwrap.dedent(after).replace(
        "STEP", "loss = net(x).sum(); loss.backward(); optimizer.step()"
    )


def check_unchanged(text: str) -> None:
    whole = parse(script(text), Path("train.py"))
    assert lower(whole) is whole


# -- processes ---------------------------------------------------------------------------------------------------------


def test_spawned_worker_becomes_a_call() -> None:
    check_lowered(
        """
        def setup(rank, size):
            os.environ["MASTER_ADDR"] = "localhost"
            dist.init_process_group("gloo", rank=rank, world_size=size)

        def worker(rank, size, data, epochs):
            setup(rank, size)
            # each process has its share
            sampler = DistributedSampler(data, num_replicas=size, rank=rank)
            loader = DataLoader(data, batch_size=8 // size, sampler=sampler)
            net = torch.nn.Linear(1, 1)
            net = DDP(net, device_ids=[rank])
            optimizer = torch.optim.SGD(net.module.parameters(), lr=0.1)
            for epoch in range(epochs):
                # another order each time
                sampler.set_epoch(epoch)
                for x in loader:
                    STEP
                if rank == 0:
                    print(loss)
                    torch.save(net.module.state_dict(), "net.pt")
            dist.destroy_process_group()

        size = torch.cuda.device_count()
        mp.spawn(worker, args=(size, [1], 3), nprocs=size)
        """,
        """

        def worker(data, epochs):
            # each process has its share
            sampler = DistributedSampler(data, num_replicas=TRAINER__.world_size, rank=TRAINER__.global_rank)
            loader = DataLoader(data, batch_size=8 // TRAINER__.world_size, sampler=sampler)
            net = torch.nn.Linear(1, 1)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for epoch in range(epochs):
                for x in loader:
                    STEP
                print(loss)
                if TRAINER__.is_global_zero:
                    torch.save(net.state_dict(), "net.pt")

        worker([1], 3)
        """,
    )


def test_number_of_processes_becomes_the_trainers_devices() -> None:
    text = """
        def worker(rank, args):
            dist.init_process_group("gloo", rank=rank, world_size=args.size)
            net = torch.nn.Linear(1, 1)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for epoch in range(3):
                for x in loader:
                    STEP

        mp.spawn(worker, args=(args,), nprocs=args.size)
        """
    found = lower(parse(script(text), Path("train.py")))
    assert found.trainer == {"use_distributed_sampler": "False", "devices": "args.size"}


DISTRIBUTED = """
def main():
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    sampler = DistributedSampler(data{options})
    loader = DataLoader(data, sampler=sampler)
    net = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for epoch in range(3):
        {set_epoch}
        for x in loader:
            STEP
        {behind}

main()
"""


def distributed(
    options: str = "", set_epoch: str = "sampler.set_epoch(epoch)", behind: str = "print(loss)"
) -> str:
    return DISTRIBUTED.format(options=options, set_epoch=set_epoch, behind=behind)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (distributed(set_epoch="pass"), 13, "set_epoch\\(\\) is never called"),
        (
            distributed(set_epoch="sampler.set_epoch(7 * epoch)"),
            18,
            "something else than the number of the epoch",
        ),
        (distributed(behind="dist.all_gather(parts, loss)"), 21, "exchange data by all_gather\\(\\)"),
    ],
)
def test_processes_that_are_more_than_data_parallel_are_refused(text: str, line: int, message: str) -> None:
    with pytest.raises(Distributed, match=message) as refusal:
        lowered(text)
    assert refusal.value.line == line


def test_order_that_never_changes_needs_no_set_epoch() -> None:
    assert "shuffle=False" in lowered(distributed(options=", shuffle=False", set_epoch="pass"))


def test_epochs_from_one_keep_their_order() -> None:
    text = distributed(options=", seed=4").replace("range(3)", "range(1, 4)")
    assert "seed=4 + 1)" in lowered(text)


def test_collectives_run_where_there_are_several_processes() -> None:
    text = lowered(distributed(behind="dist.all_reduce(loss)"))
    assert "        if dist.is_initialized():\n            dist.all_reduce(loss)\n" in text


def test_rank_in_functions_outside_comes_from_the_group() -> None:
    helper = "def first():\n    return dist.get_rank() == 0\n\n"
    assert "return (dist.get_rank() if dist.is_initialized() else 0) == 0" in lowered(helper + distributed())


def test_script_that_can_do_without_processes_is_left_alone() -> None:
    check_unchanged("""
        def worker(rank, args):
            if args.distributed:
                dist.init_process_group("gloo", rank=rank)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for epoch in range(3):
                for x in loader:
                    STEP

        if args.many:
            mp.spawn(worker, args=(args,), nprocs=2)
        else:
            worker(0, args)
        """)


# -- folding -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("if phase == 'train':\n    a()\nelse:\n    b()\n", "a()\n"),
        ("if phase != 'train':\n    a()\nelse:\n    b()\n    c()\n", "b()\nc()\n"),
        (
            "if phase == 'val':\n    a()\nelif x:\n    b()\nelse:\n    c()\n",
            "if x:\n    b()\nelse:\n    c()\n",
        ),
        (
            "if x:\n    a()\nelif phase == 'train':\n    b()\nelse:\n    c()\n",
            "if x:\n    a()\nelse:\n    b()\n",
        ),
        (
            "if x:\n    a()\nelif phase == 'val':\n    b()\nelse:\n    c()\n",
            "if x:\n    a()\nelse:\n    c()\n",
        ),
        ("for x in y:\n    if phase == 'val':\n        a()\n", "for x in y:\n    pass\n"),
        ("if phase == 'train' and x > 1:\n    a()\n", "if x > 1:\n    a()\n"),
        ("if phase == 'val' or x > 1:\n    a()\n", "if x > 1:\n    a()\n"),
        ("if phase in ('val', 'test'):\n    a()\nb(phase)\n", "b('train')\n"),
        ("a(f'{phase} {x:.3f}', f'{phase:>6}')\n", "a(f'train {x:.3f}', f' train')\n"),
        ("y = a if phase == 'train' else b\n", "y = a\n"),
        ("# why\nif phase == 'val':\n    # how\n    a()\nb()\n", "b()\n"),
        ("if (\n    phase == 'train'\n):\n    # how\n    a()\n", "# how\na()\n"),
    ],
)
def test_block_with_a_known_name(block: str, expected: str) -> None:
    assert specialised(block, "phase", "train") == expected


@pytest.mark.parametrize(
    ("test", "left"),
    [
        ('(a or b) and phase == "train" and c', "(a or b) and c"),
        ('a or (b\n    and c) or phase == "val"', "a or (b\n    and c)"),
    ],
)
def test_brackets_stay_around_what_is_left_of_a_test(test: str, left: str) -> None:
    assert specialised(f"if {test}:\n    x()\n", "phase", "train") == f"if {left}:\n    x()\n"


@pytest.mark.parametrize(
    "block",
    [
        "phase = 'x'\n",
        "if phase == 'train':\n    a = '''one\n    two'''\n",
        "a(f'{phase.upper()}')\n",
        "if phase == 'train': a()\n",
    ],
)
def test_block_that_is_left_alone(block: str) -> None:
    assert specialised(block, "phase", "train") is None


# -- the others --------------------------------------------------------------------------------------------------------

SETUP = "net = torch.nn.Linear(1, 1)\noptimizer = torch.optim.SGD(net.parameters(), lr=0.1)\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "for epoch in range(3):\n    for x in loader:\n        STEP\nelse:\n    # all done\n    print(1)\n",
            "for epoch in range(3):\n    for x in loader:\n        STEP\n# all done\nprint(1)\n",
        ),
        (
            "for i, epoch in enumerate(range(2, n)):\n    for x in loader:\n        STEP\n",
            "for i in range(n - 2):\n    epoch = i + 2\n    for x in loader:\n        STEP\n",
        ),
        (
            "for epoch in [1, 5]:\n    for x in loader:\n        STEP\n",
            "for epoch_index in range(2):\n    epoch = [1, 5][epoch_index]\n    for x in loader:\n        STEP\n",
        ),
        (
            "for epoch in range(n):\n    if epoch > 0:\n        for x in loader:\n            STEP\n    print(epoch)\n",
            "epoch = 0\nprint(epoch)\nfor epoch in range(1, n):\n    for x in loader:\n        STEP\n    print(epoch)\n",
        ),
        (
            "for epoch in range(3):\n    with tqdm(loader) as bar:\n        for x in bar:\n            STEP\n"
            "            bar.set_postfix(loss=1)\n        bar.write('a')\n",
            "for epoch in range(3):\n    for x in loader:\n        STEP\n    print('a')\n",
        ),
        (
            "for epoch in (bar := tqdm(range(3))):\n    for x in loader:\n        STEP\n    bar.update(1)\n",
            "for epoch in (tqdm(range(3))):\n    for x in loader:\n        STEP\n",
        ),
    ],
)
def test_lowered_loop(before: str, after: str) -> None:
    check_lowered(SETUP + before, SETUP + after)


@pytest.mark.parametrize(
    "loop",
    [
        "for epoch in range(3):\n    for x in loader:\n        STEP\n    if loss < 1:\n        break\nelse:\n    print(1)\n",
        "for epoch in range(3):\n    if epoch > 0:\n        print(epoch)\n    for x in loader:\n        STEP\n",
        "bar = tqdm(loader)\nfor epoch in range(3):\n    for x in bar:\n        STEP\nprint(bar.n)\n",
        "for lr in [1, 2]:\n    optimizer = torch.optim.SGD(net.parameters(), lr=lr)\n"
        "    for epoch in range(3):\n        for x in loader:\n            STEP\n",
    ],
)
def test_loop_that_is_left_alone(loop: str) -> None:
    check_unchanged(SETUP + loop)


def test_notes_and_refusals_name_lines_of_the_original() -> None:
    """What was removed above does not move them."""
    text = (
        IMPORTS
        + SETUP
        + "loader = DataLoader([1])\nbar = tqdm(loader)\nfor x in bar:\n    # one\n    bar.update(1)\n"
        + textwrap.indent(STEP, "    ")
    )
    conversion = convert_script(parse(text, Path("train.py")))
    backward = text.splitlines().index("    loss.backward()") + 1
    assert any(n.line == backward and "backward" in n.text for n in conversion.plan.notes)
