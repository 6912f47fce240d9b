"""The data sets of torchvision.datasets: their sizes, and images of noise with a tint or pattern for each class.

Sizes, splits and class counts are those that torchvision's documentation and the data sets' own pages give.
"""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

_LIBRARY = "torchvision.datasets"
_SIDE = 256  # pixels of a square photograph, to be resized by the script's transform
_FOLDER_CLASSES = 2  # a folder's classes can't be told; any classifier has two outputs
_SIZING = ("Resize", "Crop", "ScaleJitter")  # in the names of transforms that settle an image's size


@dataclass(frozen=True)
class Arrays:
    """A data set that holds all its images in one array `data`, as uint8.

    `labels` names its list of classes. `is_tensor`: both are torch tensors, else numpy's and a list.
    """

    shape: tuple[int, ...]
    classes: int
    lengths: Mapping[str, int]
    labels: str = "targets"
    is_tensor: bool = False
    first_label: int = 0


@dataclass(frozen=True)
class Photographs:
    """A data set that reads one file per item. `size` is (height, width), None where they vary."""

    classes: int
    lengths: Mapping[str, int]
    size: tuple[int, int] | None = None
    mode: str = "RGB"


_MNIST = Arrays((28, 28), 10, {"train": 60_000, "test": 10_000}, is_tensor=True)
_EMNIST = {
    "byclass": Arrays((28, 28), 62, {"train": 697_932, "test": 116_323}, is_tensor=True),
    "bymerge": Arrays((28, 28), 47, {"train": 697_932, "test": 116_323}, is_tensor=True),
    "balanced": Arrays((28, 28), 47, {"train": 112_800, "test": 18_800}, is_tensor=True),
    "letters": Arrays((28, 28), 26, {"train": 124_800, "test": 20_800}, is_tensor=True, first_label=1),
    "digits": Arrays((28, 28), 10, {"train": 240_000, "test": 40_000}, is_tensor=True),
    "mnist": _MNIST,
}
_ARRAYS = {
    "MNIST": _MNIST,
    "FashionMNIST": _MNIST,
    "KMNIST": _MNIST,
    "EMNIST": _MNIST,  # by its split, see _EMNIST
    "USPS": Arrays((16, 16), 10, {"train": 7_291, "test": 2_007}),
    "SEMEION": Arrays((16, 16), 10, {"all": 1_593}, labels="labels"),
    "CIFAR10": Arrays((32, 32, 3), 10, {"train": 50_000, "test": 10_000}),
    "CIFAR100": Arrays((32, 32, 3), 100, {"train": 50_000, "test": 10_000}),
    "SVHN": Arrays((3, 32, 32), 10, {"train": 73_257, "test": 26_032, "extra": 531_131}, labels="labels"),
    "STL10": Arrays(
        (3, 96, 96),
        10,
        {"train": 5_000, "test": 8_000, "unlabeled": 100_000, "train+unlabeled": 105_000},
        labels="labels",
    ),
}
_PHOTOGRAPHS = {
    "ImageNet": Photographs(1000, {"train": 1_281_167, "val": 50_000}),
    "Imagenette": Photographs(10, {"train": 9_469, "val": 3_925}),
    "Places365": Photographs(
        365, {"train-standard": 1_803_460, "train-challenge": 8_026_628, "val": 36_500, "test": 328_500}
    ),
    "Country211": Photographs(211, {"train": 31_650, "valid": 10_550, "test": 21_100}),
    "SUN397": Photographs(397, {"all": 108_754}),
    "Caltech101": Photographs(101, {"all": 8_677}),
    "Caltech256": Photographs(257, {"all": 30_607}),
    "Food101": Photographs(101, {"train": 75_750, "test": 25_250}),
    "Flowers102": Photographs(102, {"train": 1_020, "val": 1_020, "test": 6_149}),
    "OxfordIIITPet": Photographs(37, {"trainval": 3_680, "test": 3_669}),
    "StanfordCars": Photographs(196, {"train": 8_144, "test": 8_041}),
    "DTD": Photographs(47, {"train": 1_880, "val": 1_880, "test": 1_880}),
    "GTSRB": Photographs(43, {"train": 26_640, "test": 12_630}),
    "EuroSAT": Photographs(10, {"all": 27_000}, size=(64, 64)),
    "PCAM": Photographs(2, {"train": 262_144, "val": 32_768, "test": 32_768}, size=(96, 96)),
    "FER2013": Photographs(7, {"train": 28_709, "test": 7_178}, size=(48, 48), mode="L"),
    "CelebA": Photographs(
        2, {"train": 162_770, "valid": 19_867, "test": 19_962, "all": 202_599}, size=(218, 178)
    ),
}
NAMES = frozenset({*_ARRAYS, *_PHOTOGRAPHS, "ImageFolder"})


def replace_classes(module: ModuleType, items: int, tell: Callable[[str], None]) -> None:
    """Change the classes of torchvision.datasets in place: how they are made and, if they read files, read items."""
    stand_in = _StandIn(module, items, tell)
    for name in NAMES:
        kind = getattr(module, name, None)
        if kind is None:  # a release that does not have it yet, or no longer
            continue
        if "__init__" in vars(kind):
            kind.__init__ = stand_in.constructor(kind)
        if name in _PHOTOGRAPHS and not issubclass(kind, module.DatasetFolder):
            kind.__getitem__, kind.__len__ = _photograph_at, _count_photographs


class _StandIn:
    """Makes synthetic data sets: what all of them have to know."""

    def __init__(self, module: ModuleType, items: int, tell: Callable[[str], None]) -> None:
        self.module = module
        self.items = items
        self.tell = tell

    def constructor(self, kind: type) -> Callable[..., None]:
        """What takes the place of a class's `__init__`: with the same parameters, reading nothing."""
        signature = inspect.signature(kind.__init__)  # type: ignore[misc]

        def make(this: Any, *args: Any, **kwargs: Any) -> None:
            bound = signature.bind(this, *args, **kwargs)
            bound.apply_defaults()
            given = {**bound.arguments, **bound.arguments.get("kwargs", {})}
            transforms = {name: given.get(name) for name in ("transforms", "transform", "target_transform")}
            self.module.VisionDataset.__init__(this, given["root"], **transforms)
            name = next(base.__name__ for base in type(this).__mro__ if base.__module__.startswith(_LIBRARY))
            if name not in NAMES:  # one of torchvision's own that extends another, as QMNIST does
                raise RuntimeError(f"litify verify --synthetic has no stand-in for {name}")
            if name in _ARRAYS:
                self.fill_arrays(this, name, given)
            elif issubclass(type(this), self.module.DatasetFolder):
                self.fill_folder(this, name, given)
            else:
                self.fill_photographs(this, name, given)

        make.__signature__ = signature  # type: ignore[attr-defined]
        return make

    def fill_arrays(self, this: Any, name: str, given: Mapping[str, Any]) -> None:
        import numpy
        import torch

        spec = _EMNIST[given["split"]] if name == "EMNIST" else _ARRAYS[name]
        split = self.split_of(this, name, spec.lengths, given, by_flag=name == "EMNIST")
        count = self.count(name, split, spec.lengths)
        random = numpy.random.default_rng(_seed(name, split))
        labels = random.permutation(count) % spec.classes
        patterns = random.integers(0, 128, (spec.classes, *spec.shape), dtype=numpy.uint8)
        data = random.integers(0, 128, (count, *spec.shape), dtype=numpy.uint8) + patterns[labels]
        labels = numpy.full(count, -1) if split == "unlabeled" else labels + spec.first_label
        this.data = torch.from_numpy(data) if spec.is_tensor else data
        values = (
            torch.from_numpy(labels)
            if spec.is_tensor
            else labels if spec.labels == "labels" else labels.tolist()
        )
        setattr(this, spec.labels, values)
        if name == "EMNIST":
            this.classes = type(this).classes_split_dict[this.split]
        elif not isinstance(getattr(type(this), "classes", None), list):  # MNIST's are the class's own
            _name_classes(this, spec.classes)

    def fill_photographs(self, this: Any, name: str, given: Mapping[str, Any]) -> None:
        spec = _PHOTOGRAPHS[name]
        wanted = given.get("target_type", given.get("target_types", "category"))
        if name != "CelebA" and wanted not in ("category", ["category"]):
            raise RuntimeError(f"litify verify --synthetic has no stand-in for {name} with targets {wanted}")
        split = self.split_of(this, name, spec.lengths, given)
        if spec.size is None:
            _check_size_is_told(name, given)
        count = self.count(name, split, spec.lengths)
        this._synthetic = _Photographs(_seed(name, split), spec.size or (_SIDE, _SIDE), spec.mode)
        this._labels = [index % spec.classes for index in range(count)]
        _name_classes(this, spec.classes)
        if name == "CelebA":
            _fill_celeba(this, count, [wanted] if isinstance(wanted, str) else wanted)

    def fill_folder(self, this: Any, name: str, given: Mapping[str, Any]) -> None:
        """ImageFolder and its subclasses: paths that do not exist, and a loader that makes an image of each."""
        spec = _PHOTOGRAPHS.get(name, Photographs(_FOLDER_CLASSES, {"all": self.items}))
        if given.get("loader", self.module.folder.default_loader) is not self.module.folder.default_loader:
            raise RuntimeError(
                f"litify verify --synthetic cannot tell what the loader given to {name}({given['root']!r}) returns"
            )
        if spec.size is None:
            _check_size_is_told(name, given)
        split = self.split_of(this, name, spec.lengths, given)
        folder = os.path.basename(os.path.normpath(given["root"]))
        count = self.count(f"{name} {folder!r}" if name == "ImageFolder" else name, split, spec.lengths)
        photographs = _Photographs(_seed(name, split, folder), spec.size or (_SIDE, _SIDE), spec.mode)
        _name_classes(this, spec.classes)
        this.samples = [
            (
                os.path.join(given["root"], this.classes[index % spec.classes], f"{index}.png"),
                index % spec.classes,
            )
            for index in range(count)
        ]
        this.imgs = this.samples
        this.targets = [label for _, label in this.samples]
        this.loader = photographs.load
        this.extensions = self.module.folder.IMG_EXTENSIONS

    def split_of(
        self,
        this: Any,
        name: str,
        lengths: Mapping[str, int],
        given: Mapping[str, Any],
        by_flag: bool = False,
    ) -> str:
        """What was asked for by `train` or `split`, which become attributes as in the real data set."""
        if "train" in given or by_flag:
            this.train = given.get("train", True)
            split = "train" if this.train else "test"
        else:
            split = given.get("split", "all")
        if "split" in given:
            this.split = given["split"]
        if split not in lengths:
            raise ValueError(
                f"Unknown value {split!r} for argument split of {name}; it has {', '.join(lengths)}"
            )
        return split

    def count(self, name: str, split: str, lengths: Mapping[str, int]) -> int:
        real = lengths[split]
        count = min(self.items, real)
        part = "" if split == "all" else f"{split}, "
        size = f"{count}" if name.startswith("ImageFolder") else f"{count} of {real}"
        self.tell(f"{name} ({part}{size} items)")
        return count


@dataclass(frozen=True)
class _Photographs:
    seed: int
    size: tuple[int, int]
    mode: str

    def at(self, index: int, label: int) -> Any:
        """A PIL image: noise, tinted by its class."""
        import numpy
        from PIL import Image

        channels = 1 if self.mode == "L" else 3
        tint = numpy.random.default_rng([self.seed, label]).integers(0, 128, channels, dtype=numpy.uint8)
        noise = numpy.random.default_rng([self.seed, 1, index])
        pixels = noise.integers(0, 128, (*self.size, channels), dtype=numpy.uint8) + tint
        return Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)

    def load(self, path: str) -> Any:
        """The loader of a folder: the path says class and index."""
        folder, file = os.path.split(path)
        return self.at(int(os.path.splitext(file)[0]), int(os.path.basename(folder).rpartition(" ")[2]))


def _photograph_at(this: Any, index: int) -> tuple[Any, Any]:
    """`__getitem__` of a data set that would read a file."""
    index = range(len(this._labels))[index]  # negative, or too large
    image, target = this._synthetic.at(index, this._labels[index]), this._labels[index]
    if hasattr(this, "target_type"):
        target = _celeba_target(this, index)
    return this.transforms(image, target) if this.transforms is not None else (image, target)


def _count_photographs(this: Any) -> int:
    return len(this._labels)


def _fill_celeba(this: Any, count: int, wanted: list[str]) -> None:
    import numpy
    import torch

    random = numpy.random.default_rng(_seed("CelebA targets"))
    for name, width, limit in (
        ("attr", 40, 2),
        ("identity", 1, 10_177),
        ("bbox", 4, 178),
        ("landmarks_align", 10, 178),
    ):
        setattr(this, name, torch.from_numpy(random.integers(0, limit, (count, width))))
    this.filename = [f"{index:06}.jpg" for index in range(count)]
    this.attr_names = [f"attribute {index}" for index in range(40)]
    this.target_type = wanted


def _celeba_target(this: Any, index: int) -> Any:
    """One tensor per kind asked for; alone where it is one, None where there is none."""
    found = []
    for kind in this.target_type:
        values = getattr(this, "landmarks_align" if kind == "landmarks" else kind)[index]
        found.append(values[0] if kind == "identity" else values)
    target = (tuple(found) if len(found) > 1 else found[0]) if found else None
    return target if target is None or this.target_transform is None else this.target_transform(target)


def _name_classes(this: Any, count: int) -> None:
    this.classes = [f"class {index}" for index in range(count)]
    this.class_to_idx = {name: index for index, name in enumerate(this.classes)}


def _check_size_is_told(name: str, given: Mapping[str, Any]) -> None:
    """Photographs of many sizes become items of one by a transform; without any, the script does it elsewhere."""
    transform = given.get("transform") or given.get("transforms")
    if transform is not None and not _settles_size(transform):
        raise RuntimeError(
            f"litify verify --synthetic cannot tell the size of the images of {name}: "
            "there is no Resize and no crop in the transform"
        )


def _settles_size(transform: object) -> bool:
    parts = getattr(transform, "transforms", None)
    if isinstance(parts, (list, tuple)):
        return any(map(_settles_size, parts))
    return any(word in type(transform).__name__ for word in _SIZING)


def _seed(*what: str) -> int:
    return int.from_bytes(hashlib.blake2b(repr(what).encode(), digest_size=4).digest(), "little")
