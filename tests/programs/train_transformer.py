"""A training script in the design that many took from tutorials: a spatial transformer before a classifier, on torch alone.

It knows nothing of stn_cuda; ``test_run`` runs it with and without.
"""

import argparse
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self, zoom):
        super().__init__()
        self.localization = nn.Sequential(
            nn.Conv2d(1, 6, kernel_size=5), nn.MaxPool2d(2, stride=2), nn.ReLU(True),
            nn.Conv2d(6, 8, kernel_size=3), nn.MaxPool2d(2, stride=2), nn.ReLU(True))  # fmt: skip
        self.fc_loc = nn.Sequential(nn.Linear(8 * 3 * 3, 16), nn.ReLU(True), nn.Linear(16, 6))
        self.fc_loc[2].weight.data.zero_()
        self.fc_loc[2].bias.data.copy_(torch.tensor([zoom, 0, 0, 0, zoom, 0]))
        self.conv = nn.Conv2d(1, 8, kernel_size=3)
        self.dropout = nn.Dropout()
        self.fc = nn.Linear(8 * 9 * 9, 4)

    def stn(self, x):
        xs = self.localization(x).flatten(1)
        theta = self.fc_loc(xs).view(-1, 2, 3)
        grid = F.affine_grid(theta, x.size(), align_corners=False)
        return F.grid_sample(x, grid, align_corners=False)

    def forward(self, x):
        x = F.relu(F.max_pool2d(self.conv(self.stn(x)), 2))
        return F.log_softmax(self.fc(self.dropout(x.flatten(1))), dim=1)


def bars(count, generator):
    """Tilted bars, shifted: the class is one of four angles."""
    labels = torch.randint(4, (count,), generator=generator)
    angle = labels * torch.pi / 4 + 0.2 * torch.randn(count, generator=generator)
    shift = 0.3 * torch.randn(count, 2, generator=generator)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 20), torch.linspace(-1, 1, 20), indexing="ij")
    x, y = x[None] - shift[:, 0, None, None], y[None] - shift[:, 1, None, None]
    along, across = (
        x * torch.cos(angle)[:, None, None] + y * torch.sin(angle)[:, None, None],
        y * torch.cos(angle)[:, None, None] - x * torch.sin(angle)[:, None, None],
    )
    return torch.exp(-(across**2) / 0.02 - along**4)[:, None], labels


def train(epoch, model, loader, optimizer):
    model.train()
    for batch, (data, target) in enumerate(loader):
        optimizer.zero_grad()
        loss = F.nll_loss(model(data), target)
        loss.backward()
        optimizer.step()
        print(f"epoch {epoch} batch {batch} loss {loss.item():.9f}")


def test(model, loader):
    model.eval()
    with torch.no_grad():
        outputs = [(model(data), target) for data, target in loader]
    loss = sum(F.nll_loss(output, target, reduction="sum").item() for output, target in outputs)
    correct = sum((output.argmax(1) == target).sum().item() for output, target in outputs)
    print(f"test loss {loss / len(loader.dataset):.9f} correct {correct} of {len(loader.dataset)}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--zoom", type=float, default=1.0)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--profile", action="store_true", help="list the operators that ran")
    args = parser.parse_args()
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    loaders = [
        DataLoader(TensorDataset(*bars(count, generator)), batch_size=64, shuffle=shuffle, num_workers=args.workers)
        for count, shuffle in ((512, True), (256, False))
    ]
    model = Net(args.zoom)
    optimizer = optim.SGD(model.parameters(), lr=args.lr, momentum=0.5)
    started = time.time()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for epoch in range(args.epochs):
            train(epoch, model, loaders[0], optimizer)
            test(model, loaders[1])
    if args.profile:
        print("operators", *sorted({event.key for event in profile.key_averages() if "::" in event.key}))
    print(f"# {time.time() - started:.1f} s")


if __name__ == "__main__":
    main()
