import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, RandomSampler, TensorDataset
from torch.utils.data.distributed import DistributedSampler


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--local_rank", type=int, default=-1)
    parser.add_argument("--gpu-id", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()

    if args.local_rank == -1:
        device = torch.device("cpu", args.gpu_id)
        args.world_size = 1
    else:
        torch.cuda.set_device(args.local_rank)
        device = torch.device("cuda", args.local_rank)
        torch.distributed.init_process_group(backend="nccl")
        args.world_size = torch.distributed.get_world_size()
    args.device = device
    print("R:", f"rank: {args.local_rank}, distributed: {bool(args.local_rank != -1)}")
    torch.manual_seed(2)
    if args.local_rank not in [-1, 0]:
        torch.distributed.barrier()
    x = torch.randn(40, 4)
    data = TensorDataset(x, (x[:, 1] > 0).long())
    train_sampler = RandomSampler if args.local_rank == -1 else DistributedSampler
    loader = DataLoader(data, sampler=train_sampler(data), batch_size=8)
    model = nn.Linear(4, 2)
    model.to(args.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    if args.local_rank != -1:
        model = nn.parallel.DistributedDataParallel(model, device_ids=[args.local_rank])
    model.zero_grad()
    train(args, loader, model, optimizer)


def train(args, loader, model, optimizer):
    if args.world_size > 1:
        epoch_of_data = 0
        loader.sampler.set_epoch(epoch_of_data)
    if args.gpu_id > 2:
        import math
    best = 0
    iterator = iter(loader)
    model.train()
    for epoch in range(args.epochs):
        for batch_idx in range(4):
            try:
                x, y = next(iterator)
            except StopIteration:
                if args.world_size > 1:
                    epoch_of_data += 1
                    loader.sampler.set_epoch(epoch_of_data)
                iterator = iter(loader)
                x, y = next(iterator)
            loss = F.cross_entropy(model(x.to(args.device)), y.to(args.device))
            loss.backward()
            optimizer.step()
            model.zero_grad()
        if args.gpu_id > 2:
            print(math.pi)
        if args.local_rank in [-1, 0]:
            best = max(best, loss.item())
            print("R:", epoch, round(best, 6))


if __name__ == "__main__":
    main()
