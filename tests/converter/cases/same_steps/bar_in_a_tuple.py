import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm


def train(net, data_loader, train_optimizer):
    net.train()
    total_loss, total_num, train_bar = 0.0, 0, tqdm(data_loader)
    for x, y in train_bar:
        loss = F.cross_entropy(net(x), y)
        train_optimizer.zero_grad()
        loss.backward()
        train_optimizer.step()
        total_num += len(x)
        total_loss += loss.item() * len(x)
        train_bar.set_description("Train Epoch: [{}/{}] Loss: {:.4f}".format(epoch, epochs, total_loss / total_num))
    return total_loss / total_num


def test(net, data_loader):
    net.eval()
    right, total_num, test_bar = 0, 0, tqdm(data_loader)
    with torch.no_grad():
        for x, y in test_bar:
            right += (net(x).argmax(1) == y).sum().item()
            total_num += len(x)
            test_bar.set_description("Test Epoch: [{}/{}] {:.2f}%".format(epoch, epochs, right / total_num * 100))
    return right / total_num


if __name__ == "__main__":
    torch.manual_seed(1)
    epochs = 3
    x = torch.randn(48, 4)
    data = TensorDataset(x, (x[:, 0] > 0).long())
    train_loader = DataLoader(data, batch_size=8, shuffle=True)
    test_loader = DataLoader(data, batch_size=16)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.Linear(8, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    results = {"loss": [], "acc": []}
    best = 0.0
    for epoch in range(1, epochs + 1):
        results["loss"].append(train(model, train_loader, optimizer))
        results["acc"].append(test(model, test_loader))
        if results["acc"][-1] > best:
            best = results["acc"][-1]
    print("R:", [round(v, 6) for v in results["loss"]], results["acc"], best)
