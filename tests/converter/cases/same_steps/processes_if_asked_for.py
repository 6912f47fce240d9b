import argparse
import os

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", default=3, type=int)
parser.add_argument("--world-size", default=-1, type=int, help="number of nodes")
parser.add_argument("--rank", default=-1, type=int, help="node rank")
parser.add_argument("--dist-url", default="tcp://127.0.0.1:23456", type=str)
# several processes on each node
parser.add_argument("--multiprocessing-distributed", action="store_true")


def save_checkpoint(state):
    torch.save(state, "checkpoint.pt")


def main():
    args = parser.parse_args()
    if args.dist_url == "env://" and args.world_size == -1:
        args.world_size = int(os.environ["WORLD_SIZE"])
    args.distributed = args.world_size > 1 or args.multiprocessing_distributed
    ngpus = torch.cuda.device_count()
    if args.multiprocessing_distributed:
        args.world_size = ngpus * args.world_size
        mp.spawn(worker, nprocs=ngpus, args=(ngpus, args))
    else:
        worker(0, ngpus, args)


def worker(gpu, ngpus, args):
    if args.distributed:
        if args.multiprocessing_distributed:
            args.rank = args.rank * ngpus + gpu
        dist.init_process_group("nccl", init_method=args.dist_url, world_size=args.world_size, rank=args.rank)
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    if args.distributed:
        model = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    data = TensorDataset(x, y)
    if args.distributed:
        sampler = DistributedSampler(data)
    else:
        sampler = None
    loader = DataLoader(data, batch_size=8, shuffle=(sampler is None), sampler=sampler)
    for epoch in range(args.epochs):
        if args.distributed:
            sampler.set_epoch(epoch)
        for inputs, labels in loader:
            loss = F.cross_entropy(model(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print("R:", epoch, loss.item())
        if not args.multiprocessing_distributed or (args.multiprocessing_distributed and args.rank % ngpus == 0):
            save_checkpoint({"epoch": epoch + 1, "state_dict": model.state_dict()})


main()
