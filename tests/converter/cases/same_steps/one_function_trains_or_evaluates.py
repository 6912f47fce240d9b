import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset


def train_val(net, data_loader, train_optimizer):
    is_train = train_optimizer is not None
    net.train() if is_train else net.eval()

    total_loss, total_correct, total_num = 0.0, 0, 0
    with (torch.enable_grad() if is_train else torch.no_grad()):
        for data, target in data_loader:
            out = net(data)
            loss = criterion(out, target)

            if is_train:
                train_optimizer.zero_grad()
                loss.backward()
                train_optimizer.step()

            total_num += data.size(0)
            total_loss += loss.item() * data.size(0)
            total_correct += (out.argmax(1) == target).sum().item()
    return total_loss / total_num, total_correct / total_num * 100


torch.manual_seed(8)
x = torch.randn(40, 4)
data = TensorDataset(x, (x[:, 2] > 0).long())
train_loader = DataLoader(data, batch_size=8, shuffle=True)
test_loader = DataLoader(data, batch_size=16)
model = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.1), nn.Linear(16, 2))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
best = 0.0
for epoch in range(3):
    train_loss, train_acc = train_val(model, train_loader, optimizer)
    test_loss, test_acc = train_val(model, test_loader, None)
    print("R:", epoch, round(train_loss, 5), train_acc, round(test_loss, 5), test_acc)
    best = max(best, test_acc)
print("R:", best)
