import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.hidden = nn.Linear(4, width)
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(width, 3)
        self.opt = torch.optim.Adam(self.parameters(), lr=0.01)

    def forward(self, x):
        return self.out(self.drop(F.relu(self.hidden(x))))

    def predict(self, x):
        self.eval()
        found = self(x).argmax(1)
        self.train()
        return found

    def step(self, x, y):
        self.opt.zero_grad()
        loss = F.cross_entropy(self(x), y)
        loss.backward()
        self.opt.step()
        return loss.detach()


def train(model, loader):
    model = model.cpu()
    for i in range(3):
        for batch_idx, batch in enumerate(loader):
            bx, by = batch
            loss = model.step(bx, by)
            if batch_idx % 2 == 0:
                right = (model.predict(bx) == by).sum().item()
                print(f"R: {i} {batch_idx} {loss:.4f} {right}")


if __name__ == "__main__":
    torch.manual_seed(0)
    x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
    net = Net(8)
    train(net, DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True))
    print("R:", net.predict(x).sum().item())
