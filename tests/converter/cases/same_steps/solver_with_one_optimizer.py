import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


class Solver:
    def __init__(self, *args, **kwargs):
        self.model = kwargs["model"].to("cpu")
        self.optimizer = kwargs["optimizer"]
        self.scheduler = kwargs["scheduler"]
        self.criterion = nn.CrossEntropyLoss()
        self.seen = 0

    def scores(self, x):
        return self.model(x) / 0.7

    def train(self, loader, epochs):
        n_iter = 0
        print("R: start", epochs)
        for epoch_counter in range(epochs):
            for x, y in loader:
                loss = self.criterion(self.scores(x), y)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                n_iter += 1
            if epoch_counter >= 1:
                self.scheduler.step()
            print("R:", epoch_counter, n_iter, round(loss.item(), 5), round(self.scheduler.get_last_lr()[0], 6))
        print("R: finished")


def main():
    torch.manual_seed(9)
    x = torch.randn(40, 4)
    loader = DataLoader(TensorDataset(x, (x[:, 2] > 0).long()), batch_size=8, shuffle=True)
    model = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.1), nn.Linear(16, 2))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=len(loader), eta_min=0, last_epoch=-1)
    solver = Solver(model=model, optimizer=optimizer, scheduler=scheduler)
    solver.train(loader, 4)


if __name__ == "__main__":
    main()
