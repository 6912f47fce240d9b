"""Distributed training, data and logging: what looks like a finding and is none, beside what must be found."""

from __future__ import annotations

import textwrap

import pytest
from linting import codes_of, in_module, in_step


class TestDistributedAndData:
    def test_raw_scripts_may_do_it_by_hand(self):
        text = """
        import torch.distributed as dist
        from torch.nn.parallel import DistributedDataParallel
        from torch.utils.data.distributed import DistributedSampler

        dist.init_process_group("gloo")
        model = DistributedDataParallel(model)
        sampler = DistributedSampler(data)
        weights = torch.load("x.pt")
        """
        assert codes_of(text) == []

    def test_strategies_may_do_it_by_hand(self):
        text = """
        import torch
        from lightning.pytorch import Trainer
        from lightning.pytorch.strategies import DDPStrategy

        class Mine(DDPStrategy):
            def setup_distributed(self):
                torch.distributed.init_process_group("gloo")

        Trainer(strategy=Mine())
        """
        assert codes_of(text) == []

    def test_fsdp_in_configure_model(self):
        imports = "from litify import LightningModule\nfrom torch.distributed.fsdp import FullyShardedDataParallel as FSDP"
        assert in_module("def configure_model(self):\n    self.net = FSDP(self.net)", imports) == []
        assert in_module("def setup(self, stage):\n    self.net = FSDP(self.net)", imports) == ["LIT401"]

    def test_sampler_where_the_trainers_own_is_switched_off(self):
        text = """
        from litify import Trainer
        from torch.utils.data import DataLoader, DistributedSampler

        sampler = DistributedSampler(data)
        loader = DataLoader(data, sampler=sampler)
        trainer = Trainer(use_distributed_sampler=False)
        """
        assert codes_of(text) == []
        assert codes_of(text.replace("use_distributed_sampler=False", "")) == ["LIT403"]

    def test_local_variable_in_prepare_data(self):
        assert in_module("def prepare_data(self):\n    path = self.root / 'x'\n    path.mkdir()") == []
        both = "def prepare_data(self):\n    self.a, b = 1, 2\n    self.c += 1\n\n"
        assert in_module(both + "def setup(self, stage):\n    self.use(self.a, self.c)") == [
            "LIT501",
            "LIT501",
        ]
        assert (
            in_module(both + "def __init__(self):\n    super().__init__()\n    self.use(self.a, self.c)")
            == []
        )

    def test_a_loader_of_another_kind_in_init(self):
        body = "def __init__(self):\n    super().__init__()\n    self.loader = yaml.SafeLoader()"
        assert in_module(body, "from litify import LightningModule\nimport yaml") == []

    def test_sampler_beside_one_of_their_own(self):
        """Whoever has a sampler of another kind switches the Trainer's off, wherever the Trainer is made."""
        text = """
        from litify import LightningDataModule
        from torch.utils.data import DataLoader, DistributedSampler, {other}

        class Data(LightningDataModule):
            def train_dataloader(self):
                return DataLoader(self.data, sampler={call}(self.data))

            def val_dataloader(self):
                return DataLoader(self.data, sampler=DistributedSampler(self.data, shuffle=False))
        """
        assert codes_of(text.format(other="RandomSampler", call="RandomSampler")) == ["LIT403"]
        assert codes_of(text.format(other="Sampler", call="VolumeSampler")) == []

    def test_sampler_given_to_another_object(self):
        """The Trainer knows of loaders only, not of what a data set samples from within."""
        body = "def on_train_start(self):\n    {} = DistributedSampler(self.videos)"
        imports = "from litify import LightningModule\nfrom torch.utils.data import DistributedSampler"
        assert in_module(body.format("self.videos.sampler"), imports) == []
        assert in_module(body.format("self.sampler"), imports) == []

    def test_sampler_with_what_the_trainers_own_does_not_have(self):
        body = (
            "def train_dataloader(self):\n    return DataLoader(self.x, sampler=DistributedSampler(self.x{}))"
        )
        imports = "from litify import LightningDataModule\nfrom torch.utils.data import DataLoader, DistributedSampler"
        assert in_module(body.format(", shuffle=True"), imports, "LightningDataModule") == ["LIT403"]
        assert in_module(body.format(", drop_last=True"), imports, "LightningDataModule") == []

    def test_download_handed_on_to_the_base_class(self):
        body = "def __init__(self):\n    super().__init__(MNIST, download=True)"
        base = "from litify import LightningDataModule\nfrom torchvision.datasets import MNIST"
        assert in_module(body, base, "LightningDataModule") == []
        assert in_module(body + "\n    MNIST('.', download=True)", base, "LightningDataModule") == ["LIT504"]

    def test_state_of_prepare_data_that_is_sent_to_all(self):
        text = "def prepare_data(self):\n    self.path = make()\n\ndef setup(self, stage):\n    {}\n    self.use(self.path)"
        sent = "self.path = self.trainer.strategy.broadcast(self.path)"
        assert in_module(text.format("pass")) == ["LIT501"]
        assert in_module(text.format(sent)) == []


class TestRanks:
    DIST = "import torch.distributed as dist\nfrom litify import LightningModule"

    def test_questions(self):
        assert in_module("def on_fit_start(self):\n    self.n = dist.get_world_size()", self.DIST) == [
            "LIT404"
        ]
        assert in_module("def on_fit_start(self):\n    self.n = dist.get_rank(self.group)", self.DIST) == []
        guarded = "def n(self):\n    return dist.get_rank() if dist.is_initialized() else 0"
        assert in_module(guarded, self.DIST) == []
        beside = "def shuffle(self):\n    {}(self.x)\n    return self.x[dist.get_rank()]"
        assert in_module(beside.format("dist.broadcast"), self.DIST) == []
        assert in_module(beside.format("self.all_gather"), self.DIST) == ["LIT404"]
        assert (
            codes_of(f"{self.DIST}\n\nclass Lit(LightningModule):\n    x = 1\n\nprint(dist.get_rank())\n")
            == []
        )

    SAVE = 'torch.save(self.x, "x.pt")'

    @pytest.mark.parametrize(
        ("body", "found"),
        [
            (SAVE, ["LIT702"]),
            (f"if self.global_rank == 0:\n    {SAVE}", []),
            (f"if not self.trainer.is_global_zero:\n    return\n{SAVE}", []),
            ('torch.save(self.x, f"{self.global_rank}.pt")', []),
            (f"if self.current_epoch % 10 == 0:\n    {SAVE}", ["LIT702"]),
        ],
    )
    def test_saving(self, body, found):
        text = f"def on_train_epoch_end(self):\n    self.log('x', 1, sync_dist=True)\n{textwrap.indent(body, '    ')}"
        assert in_module(text) == found

    def test_saving_in_a_file_for_one_process(self):
        assert in_module(f"def on_train_epoch_end(self):\n    {self.SAVE}") == []

    @pytest.mark.parametrize(
        ("test", "found"),
        [
            ("self.use_ddp", False),
            ("self.args.distributed", False),
            ("self.trainer.num_devices > 1", False),
            ("self.trainer.world_size > 1", False),
            ("self.verbose", True),
        ],
    )
    def test_rank_where_there_are_several(self, test, found):
        body = f"def on_train_start(self):\n    if {test}:\n        print(torch.distributed.get_rank())"
        assert ("LIT404" in in_module(body)) == found

    @pytest.mark.parametrize(
        ("error", "found"),
        [
            ("ValueError", False),
            ("(RuntimeError, ValueError)", False),
            ("Exception", False),
            ("AssertionError", True),
        ],
    )
    def test_rank_asked_for_in_vain(self, error, found):
        """Without a process group torch raises ValueError (RuntimeError before 2.1)."""
        body = (
            "def on_train_start(self):\n    try:\n        self.rank = torch.distributed.get_rank()\n"
            f"    except {error}:\n        self.rank = 0"
        )
        assert in_module(body) == (["LIT404"] if found else [])

    def test_a_file_for_each_rank_by_an_attribute(self):
        body = """
        def setup(self, stage):
            {}

        def on_train_epoch_end(self):
            torch.save({{"queue": self.queue}}, self.path)
        """
        assert in_module(body.format("self.path = f'queue{self.trainer.global_rank}.pt'")) == []
        assert in_module(body.format("self.path = 'q'; self.x = self.all_gather(self.y)")) == ["LIT702"]


class TestData:
    SPLIT = "from torch.utils.data import random_split\nfrom litify import LightningModule"

    @pytest.mark.parametrize(
        ("call", "found"),
        [
            ("random_split(self.x, [1, 2])", ["LIT505"]),
            ("random_split(self.x, [1, 2], generator=self.g)", []),
            ("random_split(self.x, [1, 2], self.g)", []),
            ("random_split(self.x, **self.options)", []),
            ("random_split(self.x, [len(self.x)])", []),
        ],
    )
    def test_splits(self, call, found):
        assert in_module(f"def setup(self, stage):\n    self.a, self.b = {call}", self.SPLIT) == found
        seeded = f"def setup(self, stage):\n    torch.manual_seed(3)\n    self.a, self.b = {call}"
        assert in_module(seeded, self.SPLIT) == []

    def test_splits_of_scikit_learn(self):
        imports = "from sklearn.model_selection import train_test_split\nfrom litify import LightningModule"
        split = "def setup(self, stage):\n    self.a = train_test_split(self.x{})"
        assert in_module(split.format(""), imports) == ["LIT505"]
        assert in_module(split.format(", random_state=1"), imports) == []
        assert in_module(split.format(", shuffle=False"), imports) == []

    def test_transforms(self):
        imports = "from torchvision.transforms import v2\nfrom litify import LightningModule"
        step = "def training_step(self, batch, batch_idx):\n    return self.loss({}(batch))"
        assert in_module(step.format("v2.RandomCrop(3)"), imports) == ["LIT506"]
        assert in_module(step.format("v2.functional.normalize"), imports) == []
        assert in_module(step.format("self.transform"), imports) == []
        shown = "def training_step(self, batch, batch_idx):\n    if (batch_idx + 1) % 10 == 0:\n        {}\n    return self.loss(batch)"
        assert in_module(shown.format("self.show(v2.Normalize((0,), (1,))(batch))"), imports) == []

    def test_waiting_in_a_method_that_the_step_calls(self):
        body = """
        def shared(self, batch, stage):
            loss = self.loss(batch)
            {}
            return loss

        def training_step(self, batch, batch_idx):
            return self.shared(batch, "train")

        def validation_step(self, batch, batch_idx):
            self.shared(batch, "val")
        """
        assert in_module(body.format("self.log(f'{stage}_loss', loss.item())")) == ["LIT602"]
        assert in_module(body.format("return loss.item()")) == []
        assert in_module(body.format("self.log(f'{stage}_loss', loss)")) == []

    @pytest.mark.parametrize(
        ("body", "found"),
        [
            ("return {'loss': loss, 'log': logs}", ["LIT607"]),
            (
                "return {'loss': loss, 'log': logs}\n\n"
                "def on_fit_start(self):\n    self.training_step = logged(self.training_step)",
                [],
            ),
            ("return OrderedDict({'loss': loss, 'progress_bar': logs})", ["LIT607"]),
            ("result = {'loss': loss, 'log': logs, 'progress_bar': logs}\n    return result", ["LIT607"] * 2),
            ("return {'loss': loss, 'logits': logs}", []),
            ("def inner():\n        return {'log': 1}\n    return self.loss(inner)", []),
        ],
    )
    def test_results_that_nobody_reads(self, body, found):
        step = f"def training_step(self, batch, batch_idx):\n    {body}"
        assert in_module(step, "from lightning import LightningModule") == found
        assert in_module(step) == []  # litify reads them
        assert (
            in_module(step.replace("training", "validation"), "from lightning import LightningModule") == []
        )

    def test_waiting_under_manual_optimization(self):
        """There the user decides when to wait, but `self.log` takes the tensor all the same."""
        assert in_step("self.log('loss', self.loss(batch).item())", manual=True) == ["LIT602"]
        assert in_step("self.log_dict({'loss': self.loss(batch).item()})", manual=True) == ["LIT602"]
        assert in_step("self.total += self.loss(batch).item()", manual=True) == []

    def test_a_module_that_only_collects(self):
        """Nothing is optimized: one pass over the data fills a memory bank."""
        body = """
        def __init__(self):
            super().__init__()
            self.bank = []

        def training_step(self, batch, batch_idx):
            self.bank.append(self.embed(batch))
            return self.loss(batch)

        def configure_optimizers(self):
            {}
        """
        assert in_module(body.format("return None")) == []
        assert in_module(body.format("return self.make_optimizer()")) == ["LIT606"]

    def test_a_log_in_forward_that_predicting_does_not_reach(self):
        body = "def forward(self, x, y=None):\n    {}self.log('x', 1)\n    return x"
        assert in_module(body.format("")) == ["LIT807"]
        assert in_module(body.format("if y is None:\n        return x\n    ")) == []
        assert in_module(body.format("if self.training: ")) == []

    def test_a_running_value_that_the_step_shows(self):
        body = "self.total += self.loss(batch).item()\n{}"
        assert in_step(body.format("self.bar(batch_idx, f'{self.total / (batch_idx + 1)}')")) == []
        assert in_step(body.format("self.bar(batch_idx, f'{self.other}')")) == ["LIT602"]


class TestLogging:
    def test_print_in_plain_functions(self):
        text = """
        from litify import LightningModule, Trainer

        class Lit(LightningModule):
            def describe(self):
                print(self)

        def main():
            print("start")
            Trainer().fit(Lit())
        """
        assert codes_of(text) == []

    @pytest.mark.parametrize(
        "guarded",
        [
            "if self.trainer.is_global_zero:\n    print(1)",
            "if self.global_rank == 0 and batch_idx == 0:\n    print(1)",
            "try:\n    self.model(batch)\nexcept RuntimeError as error:\n    print(error)",
            "if torch.isnan(batch).any():\n    print(batch)\n    raise ValueError('not a number')",
            "print(1, file=self.log_file)",
            "self.print(1)",
        ],
    )
    def test_print_for_one_process(self, guarded):
        assert in_step(guarded) == []

    @pytest.mark.parametrize(
        ("expression", "found"),
        [
            ("loss.item()", 1),
            ("loss.detach().cpu()", 1),
            ("loss.detach().cpu().numpy().tolist()", 1),
            ('loss.to("cpu")', 1),
            ("torch.rand(1).item()", 0),
            ("batch.items()", 0),
            ("loss.item", 0),
            ("self.cache.get(item)", 0),
        ],
    )
    def test_host_sync(self, expression, found):
        assert in_step(f"x = {expression}") == ["LIT602"] * found

    @pytest.mark.parametrize(
        ("body", "found"),
        [
            ("self.meter.update(loss.item(), 3)", 0),
            ("n = round(loss.item())\nself.show(n)", 0),
            ("if loss.item() > 3:\n    pass", 0),
            ("while loss.item() > 3:\n    pass", 0),
            ("x = self.table[loss.item()]", 0),
            ("text = f'{loss.item()}'", 0),
            ("plot(loss.data.numpy())", 0),
            ("self.print(loss.item())", 0),
            ("self.total += loss.item() * 3", 1),
            ("self.all.append(float(loss.item()))", 1),
            ("n = loss.item()\nself.log('n', n)", 1),
            ("self.log_dict({'n': loss.item()})", 1),
            ("n = batch[-1].item() + 1\nself.log('x', loss, batch_size=n)", 0),
            ("self.x = loss.detach().cpu()", 1),
            ("a, b = int(batch[0].item()), int(batch[1].item())\nx = batch[:, a : b - a]", 0),
            ("a, b = batch[0].item(), batch[1].item()\nx = batch[:, :a]\nself.all.append(b)", 1),
        ],
    )
    def test_host_sync_by_what_becomes_of_it(self, body, found):
        assert in_step(body) == ["LIT602"] * found

    @pytest.mark.parametrize(
        ("loader", "found"),
        [
            ("webdataset.WebLoader", []),
            ("torch.utils.data.DataLoader", ["LIT403"]),
            ("make_loader", []),
        ],
    )
    def test_samplers_of_other_loaders(self, loader, found):
        imports = "import webdataset\nfrom torch.utils.data import DistributedSampler\nfrom litify import LightningDataModule"
        hook = "def train_dataloader(self):\n    sampler = DistributedSampler(self.x)\n    return {}(self.x, sampler=sampler)"
        assert in_module(hook.format(loader), imports, "LightningDataModule") == found

    @pytest.mark.parametrize(
        ("use", "found"),
        [
            ("x = torch.randint(9, (self.rays,))", 0),
            ("x = x[: self.rays]", 0),
            ("for i in range(self.rays):\n        pass", 0),
            ("self.log('rays', self.rays)", 1),
            ("print(self.rays)", 1),
        ],
    )
    def test_host_sync_for_a_size_that_another_method_takes(self, use, found):
        step = "def training_step(self, batch, batch_idx):\n    self.rays = int(batch.sum().item())\n    return self.loss(batch)"
        assert in_module(f"{step}\n\ndef draw(self, x):\n    {use}") == ["LIT602"] * found

    def test_host_sync_elsewhere(self):
        assert in_step("x = batch.mean().item()", "validation_step") == []
        assert in_step("x = batch.mean().item()", manual=True) == []

    def test_own_log_method(self):
        body = "def log(self, x):\n    pass\n\ndef setup(self, stage):\n    self.log(stage)"
        assert in_module(body) == []


class TestWhatIsKept:
    def test_writers(self):
        imports = "import wandb\nfrom litify import LightningModule"
        assert in_module("def on_train_end(self):\n    wandb.log({'x': 1})", imports) == ["LIT605"]
        assert in_module("def on_train_end(self):\n    self.show(wandb.Image(self.x))", imports) == []
        assert codes_of(f"{imports}\n\nwandb.init()\n") == []

    LIST = "def __init__(self):\n    super().__init__()\n    self.x = {}\n\n"
    STEP = "def validation_step(self, batch, batch_idx):\n    {}\n\n"

    @pytest.mark.parametrize(
        ("end", "found"),
        [
            ("print(file=self.x)", ["LIT606"]),
            ("self.log('x', sum(self.x) / len(self.x))", ["LIT606"]),
            ("self.x.clear()", []),
            ("self.x = []", []),
            ("self.x, self.y = [], []", []),
            ("del self.x[:]", []),
            ("self.x[:] = []", []),
            ("self.x.pop()", []),
            ("self.finish(self.x)", []),
        ],
    )
    def test_lists(self, end, found):
        body = self.LIST.format("[]") + self.STEP.format("self.x.append(1)")
        assert in_module(body + f"def on_validation_epoch_end(self):\n    {end}") == found

    def test_what_is_no_list_or_seldom(self):
        assert in_module(self.LIST.format("deque(maxlen=3)") + self.STEP.format("self.x.append(1)")) == []
        assert in_module(self.LIST.format("[]") + self.STEP.format("self.y.append(1)")) == []
        seldom = self.STEP.format("if batch_idx == 0:\n        self.x.append(1)")
        assert in_module(self.LIST.format("[]") + seldom) == []

    def test_in_forward(self):
        assert in_module("def forward(self, x):\n    self.log('x', 1)\n    return x") == ["LIT807"]
        own = "def forward(self, x):\n    return self.log(x)\n\ndef log(self, x):\n    return torch.log(x)"
        assert in_module(own) == []
