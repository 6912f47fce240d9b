import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

x, y = torch.randn(48, 4), torch.randint(0, 3, (48,))
train_data = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
test_data = DataLoader(TensorDataset(x, y), batch_size=16)


def validate(net):
    net.eval()
    total = 0.0
    with torch.no_grad():
        for im, label in test_data:
            total += nn.functional.cross_entropy(net(im), label).item()
    return total / len(test_data)


def main():
    net = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(net.parameters(), 1e-1)
    bad = 0
    best = 0.0
    for epoch in range(10):
        if bad == 3:
            print("R: stopped", epoch)
            break
        if bad > 0 and bad % 2 == 0:
            optimizer.param_groups[0]["lr"] *= 0.5
        net.train()
        for im, label in train_data:
            loss = nn.functional.cross_entropy(net(im), label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        recent = validate(net)
        if recent <= best:
            bad = 0
        else:
            bad += 1
        best = max(best, recent)
        best = 0.0
        print("R:", epoch, recent, bad)
    print("R: end", epoch, bad)


main()
