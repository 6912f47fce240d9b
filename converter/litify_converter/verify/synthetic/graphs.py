"""The data sets of torch_geometric.datasets: random graphs with the real ones' sizes, features and classes.

The figures are those of the tables in torch_geometric's documentation of each class.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True)
class Network:
    """One graph, whose nodes are classified."""

    nodes: int
    edges: int
    features: int
    classes: int


@dataclass(frozen=True)
class Collection:
    """Many small graphs, each of one class; `nodes` and `edges` are means."""

    graphs: int
    nodes: int
    edges: int
    features: int  # 0: nodes have none
    classes: int


_NETWORKS: dict[str, dict[str, Network]] = {
    "Planetoid": {
        "cora": Network(2_708, 10_556, 1_433, 7),
        "citeseer": Network(3_327, 9_104, 3_703, 6),
        "pubmed": Network(19_717, 88_648, 500, 3),
    },
    "Amazon": {
        "computers": Network(13_752, 491_722, 767, 10),
        "photo": Network(7_650, 238_162, 745, 8),
    },
    "WebKB": {
        "cornell": Network(183, 298, 1_703, 5),
        "texas": Network(183, 325, 1_703, 5),
        "wisconsin": Network(251, 515, 1_703, 5),
    },
}
_COLLECTIONS = {
    "MUTAG": Collection(188, 18, 40, 7, 2),
    "ENZYMES": Collection(600, 33, 124, 3, 6),
    "PROTEINS": Collection(1_113, 39, 146, 3, 2),
    "NCI1": Collection(4_110, 30, 65, 37, 2),
    "DD": Collection(1_178, 284, 1_431, 89, 2),
    "IMDB-BINARY": Collection(1_000, 20, 193, 0, 2),
    "IMDB-MULTI": Collection(1_500, 13, 132, 0, 3),
    "REDDIT-BINARY": Collection(2_000, 430, 996, 0, 2),
    "COLLAB": Collection(5_000, 74, 4_915, 0, 3),
}
NAMES = frozenset({*_NETWORKS, "TUDataset"})
_WEBKB_SPLITS = 10  # its masks have a column for each


def replace_classes(module: ModuleType, items: int, tell: Callable[[str], None]) -> None:
    """Change the classes of torch_geometric.datasets in place: they are made without reading a file.

    Args:
        module: torch_geometric.datasets.
        items: most graphs of a collection; a single graph keeps its size.
        tell: gets a data set that was made.
    """
    for name in NAMES:
        kind = getattr(module, name)
        kind.__init__ = _constructor(kind, name, items, tell)


def _constructor(
    kind: type, library_name: str, items: int, tell: Callable[[str], None]
) -> Callable[..., None]:
    signature = inspect.signature(kind.__init__)  # type: ignore[misc]

    def make(this: Any, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(this, *args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        name = given["name"]
        this.name, this.root, this._indices, this._data_list = name, given["root"], None, None
        this.log, this.force_reload = True, False
        for attribute in ("transform", "pre_transform", "pre_filter"):
            setattr(this, attribute, given.get(attribute))
        if library_name == "TUDataset":
            graphs = _collection(name, given, items)
            tell(f"TUDataset {name} ({len(graphs)} of {_COLLECTIONS[name].graphs} items)")
        else:
            graphs = [_network(library_name, name, given)]
            tell(f"{library_name} {name}")
        if "split" in given:
            this.split = given["split"]
        if this.pre_filter is not None:
            graphs = [graph for graph in graphs if this.pre_filter(graph)]
        if this.pre_transform is not None:
            graphs = [this.pre_transform(graph) for graph in graphs]
        this._data, this.slices = this.collate(graphs)

    make.__signature__ = signature  # type: ignore[attr-defined]
    return make


def _network(library_name: str, name: str, given: Mapping[str, Any]) -> Any:
    import torch
    from torch_geometric.data import Data  # type: ignore[import-not-found, unused-ignore]

    known = _NETWORKS[library_name]
    if name.lower() not in known:
        raise RuntimeError(
            f"litify verify --synthetic has no stand-in for {library_name} {name!r}; it knows {', '.join(known)}"
        )
    spec = known[name.lower()]
    random = _random(library_name, name.lower())
    words = random.random((spec.nodes, spec.features), dtype="float32") < 0.02  # bags of words are sparse
    labels = random.permutation(spec.nodes) % spec.classes
    data = Data(
        x=torch.from_numpy(words.astype("float32")),
        edge_index=_edges(random, spec.nodes, spec.edges),
        y=torch.from_numpy(labels),
    )
    if library_name == "Planetoid":
        _add_masks(data, _planetoid_parts(labels, random, given))
    elif library_name == "WebKB":
        order = random.permutation(spec.nodes)
        cuts = (int(0.48 * spec.nodes), int(0.8 * spec.nodes))
        _add_masks(data, (order[: cuts[0]], order[cuts[0] : cuts[1]], order[cuts[1] :]))
        for part in ("train_mask", "val_mask", "test_mask"):
            data[part] = data[part].unsqueeze(1).repeat(1, _WEBKB_SPLITS)
    return data


def _planetoid_parts(
    labels: numpy.ndarray, random: numpy.random.Generator, given: Mapping[str, Any]
) -> tuple[list[int], list[int], list[int]]:
    """Nodes for training, validation and testing: 20 of each class, 500 and 1,000, as in the public split."""
    is_random = given["split"] == "random"
    per_class, val, test = (
        given[key] if is_random else public
        for key, public in (("num_train_per_class", 20), ("num_val", 500), ("num_test", 1000))
    )
    order = random.permutation(len(labels))
    chosen = [order[labels[order] == label][:per_class] for label in range(labels.max() + 1)]
    train = {int(node) for nodes in chosen for node in nodes}
    rest = [int(node) for node in order if int(node) not in train]
    training = sorted(train) + (rest[val + test :] if given["split"] == "full" else [])
    return training, rest[:val], rest[val : val + test]


def _add_masks(data: Any, parts: tuple[Any, ...]) -> None:
    import torch

    for name, nodes in zip(("train_mask", "val_mask", "test_mask"), parts, strict=True):
        data[name] = torch.zeros(len(data.y), dtype=torch.bool)
        data[name][torch.as_tensor(nodes)] = True


def _collection(name: str, given: Mapping[str, Any], items: int) -> list[Any]:
    import torch
    from torch_geometric.data import Data  # type: ignore[import-not-found, unused-ignore]

    if name not in _COLLECTIONS or given["use_node_attr"] or given["use_edge_attr"]:
        raise RuntimeError(
            f"litify verify --synthetic has no stand-in for TUDataset {name!r}; "
            f"it knows {', '.join(_COLLECTIONS)}, without use_node_attr and use_edge_attr"
        )
    spec = _COLLECTIONS[name]
    random = _random("TUDataset", name)
    graphs = []
    for index in range(min(items, spec.graphs)):
        nodes = max(2, int(random.integers(spec.nodes // 2, spec.nodes * 3 // 2 + 1)))
        data = Data(edge_index=_edges(random, nodes, spec.edges), y=torch.tensor([index % spec.classes]))
        data.num_nodes = nodes
        if spec.features:
            kinds = torch.from_numpy(random.integers(0, spec.features, nodes))
            data.x = torch.nn.functional.one_hot(kinds, spec.features).float()
        graphs.append(data)
    return graphs


def _edges(random: numpy.random.Generator, nodes: int, count: int) -> Any:
    """About `count` edges, each in both directions, none twice, none from a node to itself: (2, edges)."""
    import torch
    from torch_geometric.utils import remove_self_loops, to_undirected  # type: ignore[import-not-found, unused-ignore]

    ends = torch.from_numpy(random.integers(0, nodes, (2, count // 2)))
    return to_undirected(remove_self_loops(ends)[0], num_nodes=nodes)


def _random(*what: str) -> numpy.random.Generator:
    import numpy

    return numpy.random.default_rng(
        int.from_bytes(hashlib.blake2b(repr(what).encode(), digest_size=4).digest(), "little")
    )
