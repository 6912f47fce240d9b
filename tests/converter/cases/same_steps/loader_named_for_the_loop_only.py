import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def train(model, train_loader, optimizer):
    model.train()
    total = torch.zeros(1).squeeze_()
    count = 0
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        loss *= len(x)
        total += loss
        count += len(x)
    return total.item() / count


@torch.no_grad()
def test(test_loader, model):
    model.eval()
    found = []
    for x, y in test_loader:
        found.append(model(x))
    return torch.cat(found).numpy()


def main():
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(32, 4), torch.randn(32, 1))
    loader_dict = {}
    for split in ["train", "val"]:
        loader_dict[split] = DataLoader(data, batch_size=8, shuffle=split == "train")
    train_l = loader_dict["train"]
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(3):
        loss = train(model=model, train_loader=train_l, optimizer=optimizer)
        pred = test(test_loader=loader_dict["val"], model=model)
        print(f"Epoch {epoch}: {loss:.4f} {pred.mean():.4f}")


if __name__ == "__main__":
    main()
