"""Synthetic data sets: the same in every process, of the real ones' shapes, and made without reading a file.

A small package named torchvision beside the script stands for the real one, where that is not installed; its classes
have the real ones' parameters, and fail as those do without data.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from litify_converter.verify import synthetic

pytest.importorskip("torch")
pytest.importorskip("numpy")

STAND_IN = {
    "torchvision/__init__.py": "from torchvision import datasets",
    "torchvision/datasets/__init__.py": """
from torchvision.datasets.vision import VisionDataset
from torchvision.datasets.mnist import MNIST, FashionMNIST, QMNIST
from torchvision.datasets.cifar import CIFAR10, CIFAR100
from torchvision.datasets.folder import DatasetFolder, ImageFolder
from torchvision.datasets import folder
from torchvision.datasets.flowers import Flowers102
""",
    "torchvision/datasets/vision.py": """
import torch

class VisionDataset(torch.utils.data.Dataset):
    def __init__(self, root=None, transforms=None, transform=None, target_transform=None):
        self.root, self.transform, self.target_transform = root, transform, target_transform
        self.transforms = transforms
        if transform is not None or target_transform is not None:
            self.transforms = self.both

    def both(self, image, target):
        image = self.transform(image) if self.transform else image
        return image, self.target_transform(target) if self.target_transform else target
""",
    "torchvision/datasets/mnist.py": """
from torchvision.datasets.vision import VisionDataset

class MNIST(VisionDataset):
    classes = [str(digit) for digit in range(10)]

    def __init__(self, root, train=True, transform=None, target_transform=None, download=False):
        super().__init__(root, transform=transform, target_transform=target_transform)
        raise RuntimeError("Dataset not found. You can use download=True to download it")

    def __getitem__(self, index):
        image, target = self.data[index], int(self.targets[index])
        return (self.transform(image) if self.transform else image), target

    def __len__(self):
        return len(self.data)

class FashionMNIST(MNIST):
    pass

class QMNIST(MNIST):
    def __init__(self, root, what=None, **kwargs):
        super().__init__(root, **kwargs)
""",
    "torchvision/datasets/cifar.py": """
from torchvision.datasets.vision import VisionDataset

class CIFAR10(VisionDataset):
    def __init__(self, root, train=True, transform=None, target_transform=None, download=False):
        raise RuntimeError("Dataset not found or corrupted. You can use download=True to download it")

class CIFAR100(CIFAR10):
    pass
""",
    "torchvision/datasets/folder.py": """
import os
from torchvision.datasets.vision import VisionDataset

IMG_EXTENSIONS = (".png",)

def default_loader(path):
    return open(path)

class DatasetFolder(VisionDataset):
    def __init__(self, root, loader, transform=None, target_transform=None):
        os.listdir(root)

    def __getitem__(self, index):
        path, target = self.samples[index]
        image = self.loader(path)
        return (self.transform(image) if self.transform else image), target

    def __len__(self):
        return len(self.samples)

class ImageFolder(DatasetFolder):
    def __init__(self, root, transform=None, target_transform=None, loader=default_loader):
        super().__init__(root, loader, transform, target_transform)
""",
    "torchvision/datasets/flowers.py": """
from torchvision.datasets.vision import VisionDataset

class Flowers102(VisionDataset):
    def __init__(self, root, split="train", transform=None, target_transform=None, download=False):
        raise RuntimeError("Dataset not found or corrupted. You can use download=True to download it")

    def __getitem__(self, index):
        raise AssertionError("reads a file")

    def __len__(self):
        raise AssertionError("reads a file")
""",
}
START = """
import sys
from litify_converter.verify import synthetic
synthetic.install({items}, lambda name: print("replaced", name))
import torch
"""


def run(folder: Path, source: str, items: int = 30) -> list[str]:
    """What a script prints in a process in which data sets are synthetic, with the small torchvision beside it."""
    for name, text in STAND_IN.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    path = os.pathsep.join([str(folder), *map(str, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", START.format(items=items) + textwrap.dedent(source)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_mnist_has_its_shapes_and_its_own_code_goes_on(tmp_path: Path) -> None:
    lines = run(
        tmp_path,
        """
        from torchvision.datasets import MNIST, FashionMNIST

        class Mine(MNIST):
            def __getitem__(self, index):
                return super().__getitem__(index)[0].float().mean()

        train = MNIST("no/data", train=True, download=True, transform=lambda image: image / 2)
        test = MNIST("no/data", False)
        print(train.data.dtype, tuple(train.data.shape), train.targets.dtype, sorted(set(train.targets.tolist())))
        print(train.train, test.train, len(test), len(train.classes), train.root)
        image, label = train[3]
        print(torch.equal(image, train.data[3] / 2), label == int(train.targets[3]))
        print(torch.equal(train.data, MNIST("elsewhere").data), torch.equal(train.data, FashionMNIST("x").data))
        print(0 < float(Mine("x")[0]) < 255)
        """,
    )
    assert lines[:2] == [
        "replaced MNIST (train, 30 of 60000 items)",
        "replaced MNIST (test, 30 of 10000 items)",
    ]
    assert lines[2] == f"torch.uint8 (30, 28, 28) torch.int64 {list(range(10))}"
    assert lines[3] == "True False 30 10 no/data"
    assert lines[4] == "True True"
    assert lines[7] == "True False"
    assert lines[-1] == "True"


def test_the_same_items_in_every_process_and_no_random_number_is_drawn(tmp_path: Path) -> None:
    source = """
    import random, numpy
    from torchvision import datasets
    torch.manual_seed(1); random.seed(1); numpy.random.seed(1)
    data = datasets.CIFAR100("x", train=False)
    folder = datasets.ImageFolder("x/train")
    print(int(data.data.sum()), data.data.shape, data.targets[:5], numpy.asarray(folder[7][0]).sum(), folder[7][1])
    print(torch.rand(1), random.random(), numpy.random.rand())
    torch.manual_seed(1); random.seed(1); numpy.random.seed(1)
    print(torch.rand(1), random.random(), numpy.random.rand())
    """
    first = run(tmp_path, source)
    assert first == run(tmp_path, source)
    assert "(30, 32, 32, 3)" in first[-3]
    assert first[-2] == first[-1]


def test_photographs_are_resized_by_the_scripts_own_transform(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    lines = run(
        tmp_path,
        """
        import numpy
        from torchvision import datasets

        class Resize:
            def __call__(self, image):
                return numpy.asarray(image.resize((32, 24)))

        class Compose:
            def __init__(self, *transforms):
                self.transforms = transforms
            def __call__(self, image):
                for transform in self.transforms:
                    image = transform(image)
                return image

        folder = datasets.ImageFolder("data/train", Compose(Resize(), lambda image: image))
        print(folder[0][0].shape, len(folder), folder.classes, folder.class_to_idx, set(folder.targets))
        flowers = datasets.Flowers102("data", split="val", transform=Compose(Resize()), target_transform=str)
        print(flowers[5][0].shape, repr(flowers[5][1]), len(flowers), len(flowers.classes), flowers.split)
        print(datasets.ImageFolder("data/train")[0][0].size)
        """,
    )
    assert lines[0] == "replaced ImageFolder 'train' (30 items)"
    assert lines[1] == "(24, 32, 3) 30 ['class 0', 'class 1'] {'class 0': 0, 'class 1': 1} {0, 1}"
    assert lines[3] == "(24, 32, 3) '5' 30 102 val"
    assert lines[5] == "(256, 256)"


def test_what_cannot_be_told_is_said(tmp_path: Path) -> None:
    cases = {
        "ImageFolder('data', transform=str)": "cannot tell the size of the images of ImageFolder",
        "ImageFolder('data', loader=open)": "cannot tell what the loader given to ImageFolder('data') returns",
        "QMNIST('data')": "has no stand-in for QMNIST",
        "Flowers102('data', split='valid')": "Unknown value 'valid' for argument split of Flowers102; it has train",
        "MNIST('data', tarin=True)": "got an unexpected keyword argument 'tarin'",
    }
    lines = run(
        tmp_path,
        f"""
        from torchvision.datasets import *
        for make in {list(cases)!r}:
            try:
                eval(make)
            except Exception as error:
                print(error)
        """,
    )
    assert len(lines) == len(cases)
    for line, message in zip(lines, cases.values(), strict=True):
        assert message in line


def test_nothing_is_downloaded_but_this_machine_can_be_reached(tmp_path: Path) -> None:
    lines = run(
        tmp_path,
        """
        import socket, urllib.request
        try:
            urllib.request.urlopen("http://data.example/mnist.gz")
        except OSError as error:
            print(error)
        with socket.socket() as server:
            server.bind(("localhost", 0))
            server.listen()
            socket.create_connection(server.getsockname()).close()
        print("reached")
        """,
    )
    assert lines == [
        "<urlopen error litify verify --synthetic downloads nothing (from data.example)>",
        "reached",
    ]


def test_which_data_sets_are_known() -> None:
    assert synthetic.knows("torchvision.datasets.CIFAR10")
    assert synthetic.knows("torch_geometric.datasets.Planetoid")
    assert not synthetic.knows("torchvision.datasets.CocoDetection")
    assert not synthetic.knows("elsewhere.MNIST")


@pytest.mark.skipif(importlib.util.find_spec("torch_geometric") is None, reason="needs torch_geometric")
def test_graphs_have_the_sizes_of_the_real_ones(tmp_path: Path) -> None:
    lines = run(
        tmp_path,
        """
        from torch_geometric.datasets import Planetoid, TUDataset
        from torch_geometric.loader import DataLoader
        import torch_geometric.transforms as T

        cora = Planetoid("no/data", "Cora", transform=T.NormalizeFeatures())
        data = cora[0]
        print(cora.num_classes, cora.num_features, data.num_nodes, data.is_undirected(), len(cora))
        print(int(data.train_mask.sum()), int(data.val_mask.sum()), int(data.test_mask.sum()))
        print(9000 < data.num_edges <= 10556, bool((data.train_mask & data.test_mask).any()))
        graphs = TUDataset("no/data", name="MUTAG").shuffle()
        print(len(graphs), graphs.num_node_features, graphs.num_classes, len(graphs[:10]))
        batch = next(iter(DataLoader(graphs, batch_size=8)))
        print(batch.num_graphs, batch.x.shape[1], batch.y.shape)
        try:
            TUDataset("no/data", name="unknown")
        except RuntimeError as error:
            print(error)
        """,
    )
    assert lines[:4] == ["replaced Planetoid Cora", "7 1433 2708 True 1", "140 500 1000", "True False"]
    assert lines[4:7] == ["replaced TUDataset MUTAG (30 of 188 items)", "30 7 2 10", "8 7 torch.Size([8])"]
    assert "has no stand-in for TUDataset 'unknown'; it knows MUTAG" in lines[7]
