import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Teacher(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))

    def forward(self, x):
        return self.layers(x)


def evaluate(model, loader):
    model.eval()
    correct = 0
    with torch.no_grad():
        for data, target in loader:
            correct += (model(data).argmax(1) == target).sum().item()
    return correct / len(loader.dataset)


def main():
    x, y = torch.randn(48, 4), torch.randint(0, 3, (48,))
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
    val_loader = DataLoader(TensorDataset(x, y), batch_size=16)
    criterion = nn.CrossEntropyLoss()
    teacher = Teacher()
    optimizer = torch.optim.SGD(teacher.parameters(), lr=0.1)
    for epoch in range(2):
        teacher.train()
        for data, target in loader:
            loss = criterion(teacher(data), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print("R: teacher", epoch, evaluate(teacher, val_loader))

    student = nn.Linear(4, 3)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.05)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    teacher.eval()
    for epoch in range(3):
        student.train()
        for data, _ in loader:
            with torch.no_grad():
                soft = teacher(data).softmax(1)
            loss = criterion(student(data), soft)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
        print("R: student", epoch, loss.item(), evaluate(student, val_loader))
    print("R:", sum(p.sum().item() for p in student.parameters()))


if __name__ == "__main__":
    main()
