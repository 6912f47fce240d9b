import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


class Study:
    """Stands for a library: it runs the function it is given."""

    def optimize(self, function, n_trials):
        self.values = [function(trial) for trial in range(n_trials)]


def objective(trial):
    model = nn.Sequential(nn.Linear(4, 8 * (trial + 1)), nn.ReLU(), nn.Linear(8 * (trial + 1), 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01 * (trial + 1))
    accuracy = 0
    for epoch in range(3):
        model.train()
        for batch_idx, (data, target) in enumerate(loader):
            if batch_idx * 8 >= 32:
                break
            optimizer.zero_grad()
            loss = F.cross_entropy(model(data), target)
            loss.backward()
            optimizer.step()
        model.eval()
        correct = 0
        with torch.no_grad():
            for data, target in loader:
                correct += (model(data).argmax(1) == target).sum().item()
        accuracy = correct / 48
        print("R:", trial, epoch, accuracy)
    return accuracy


if __name__ == "__main__":
    torch.manual_seed(9)
    x = torch.randn(48, 4)
    loader = DataLoader(TensorDataset(x, (x[:, 2] > 0).long()), batch_size=8, shuffle=True)
    study = Study()
    study.optimize(objective, n_trials=2)
    print("R:", study.values)
