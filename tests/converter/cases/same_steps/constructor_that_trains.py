import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


class Options:
    epochs = 2
    rate = 0.05


class TrainNet:
    def __init__(self, args):
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.Linear(8, 2)).to("cpu")
        self.opt_net, self.opt_bias = self.configure_optimizers(args)
        self.prepare()
        self.train(args)

    def configure_optimizers(self, args):
        opt_net = torch.optim.Adam([self.net[0].weight, self.net[2].weight], lr=args.rate)
        opt_bias = torch.optim.SGD([self.net[0].bias, self.net[2].bias], lr=args.rate)
        return opt_net, opt_bias

    @staticmethod
    def prepare():
        print("R: ready")

    def train(self, args):
        steps_per_epoch = len(loader)
        for epoch in range(args.epochs):
            for i, (x, y) in zip(range(steps_per_epoch), loader):
                loss = F.cross_entropy(self.net(x), y)
                self.opt_net.zero_grad()
                loss.backward(retain_graph=True)
                self.opt_bias.zero_grad()
                loss.backward()
                self.opt_net.step()
                self.opt_bias.step()
            print("R:", epoch, i, round(loss.item(), 5))


if __name__ == "__main__":
    torch.manual_seed(9)
    x = torch.randn(48, 4)
    loader = DataLoader(TensorDataset(x, (x[:, 2] > 0).long()), batch_size=8, shuffle=True)
    TrainNet(Options())
