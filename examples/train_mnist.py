"""Trains a spatial transformer on rotated, scaled and shifted MNIST digits, and the same classifier without one.

    python examples/train_mnist.py [--data DIR] [--iterations 468] [--output stn_mnist.png]

The transformer (Jaderberg et al. 2015) looks at a 42x42 canvas, predicts an affine map from its 28x28 output to the
canvas, and hands the classifier what it sampled there. Nobody tells it where the digit is: the map is learned from the
classification loss alone, through the gradients of ``stn_cuda.grid_sample`` and ``stn_cuda.affine_grid``.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure
from mnist_data import Digits, load_mnist
from torch import Generator, Tensor, nn
from tqdm import tqdm

if importlib.util.find_spec("stn_cuda") is None:  # built in place, but not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from stn_cuda import affine_grid, grid_sample

CANVAS = 42
WINDOW = 28  # the transformer's output
CLASSES = 10
MAX_ROTATION = math.radians(45)
SCALES = (0.7, 1.2)
LEARNING_RATE = 2e-3
TEST_SEED = 2015  # not --seed: runs with different seeds are judged by the same canvases


# The task: a digit somewhere on a canvas


def warp(images: Tensor, theta: Tensor, size: int) -> Tensor:
    """[B, C, H, W], theta [B, 2, 3] from output to input coordinates -> [B, C, size, size]"""
    grid = affine_grid(theta, [*images.shape[:2], size, size], align_corners=False)
    return grid_sample(images, grid, align_corners=False)


def ink_radius(images: Tensor) -> Tensor:
    """[B, S, S] -> [B]: the distance from the image's centre, in pixels, that all ink keeps within."""
    offset = torch.arange(images.shape[-1], device=images.device) - (images.shape[-1] - 1) / 2
    distance = torch.hypot(offset[:, None], offset)  # of pixel centres; interpolation spreads their ink one pixel more
    return ((images > 0) * distance).amax(dim=(1, 2)) + 1


def random_placement(images: Tensor, generator: Generator) -> Tensor:
    """[B, S, S] -> theta [B, 2, 3] from the canvas to the image: the paper's RTS protocol.

    Rotation and scale are uniform, and so is the location among those that keep the disc around the ink on the canvas.
    """
    size = images.shape[-1]
    # Drawn on the CPU, so that a seed means the same canvases on every device.
    turn, zoom, right, down = torch.rand(4, len(images), generator=generator).to(images.device)
    angle = (2 * turn - 1) * MAX_ROTATION
    scale = SCALES[0] + (SCALES[1] - SCALES[0]) * zoom
    room = (CANVAS / 2 - scale * ink_radius(images)).clamp(min=0)
    shift = (2 * torch.stack([right, down], dim=1) - 1) * room[:, None]  # [B, 2], pixels

    # canvas = scale * rotation @ image + shift, solved for image; then from pixels to normalised coordinates.
    inverse = torch.stack([angle.cos(), angle.sin(), -angle.sin(), angle.cos()], dim=1).view(-1, 2, 2)
    inverse = inverse / scale[:, None, None]
    offset = -inverse @ shift[:, :, None]
    return torch.cat([inverse * (CANVAS / size), offset / (size / 2)], dim=2)


def distort(images: Tensor, generator: Generator) -> Tensor:
    """[B, S, S] -> [B, 1, CANVAS, CANVAS]: every digit rotated, scaled and put somewhere on an empty canvas."""
    return warp(images[:, None], random_placement(images, generator), CANVAS)


# The networks


class SpatialTransformer(nn.Module):
    """Predicts an affine map for each canvas and samples it there: [B, 1, CANVAS, CANVAS] -> [B, 1, WINDOW, WINDOW]."""

    def __init__(self) -> None:
        super().__init__()
        self.localization = nn.Sequential(
            nn.Flatten(), nn.Linear(CANVAS * CANVAS, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32),
            nn.ReLU(),
        )  # fmt: skip
        self.to_theta = nn.Linear(32, 6)
        # Starts by sampling the whole canvas: a random map would show the classifier, and so the gradient, mostly
        # background.
        nn.init.zeros_(self.to_theta.weight)
        self.to_theta.bias.data.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))

    def theta(self, canvases: Tensor) -> Tensor:
        """[B, 1, CANVAS, CANVAS] -> [B, 2, 3], from output to input coordinates"""
        return self.to_theta(self.localization(canvases)).view(-1, 2, 3)

    def forward(self, canvases: Tensor) -> Tensor:
        return warp(canvases, self.theta(canvases), WINDOW)


def classifier(image_size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(image_size * image_size, 256), nn.ReLU(), nn.Linear(256, 200), nn.ReLU(),
        nn.Linear(200, CLASSES),
    )  # fmt: skip


def parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


# Training


def train(network: nn.Module, images: Tensor, labels: Tensor, options: argparse.Namespace, title: str) -> None:
    """Adam with a cosine schedule; fresh distortions in every batch, the same ones for the same seed."""
    generator = Generator().manual_seed(options.seed)
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.iterations)
    progress = tqdm(range(options.iterations), title, unit="batch")
    for iteration in progress:
        chosen = torch.randint(len(images), (options.batch_size,), generator=generator).to(images.device)
        canvases = distort(images[chosen], generator)
        loss = nn.functional.cross_entropy(network(canvases), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if iteration % 20 == 0:  # reading the loss waits for the device
            progress.set_postfix(loss=f"{loss.item():.2f}")


@torch.no_grad()
def error_rate(network: nn.Module, canvases: Tensor, labels: Tensor) -> float:
    """Percent of the canvases [N, 1, CANVAS, CANVAS] that ``network`` takes for another digit."""
    parts = zip(canvases.split(1000), labels.split(1000), strict=True)
    wrong = sum(int((network(part).argmax(dim=1) != truth).sum()) for part, truth in parts)
    return 100 * wrong / len(labels)


# The picture


def outline(theta: Tensor, input_size: tuple[int, int]) -> Tensor:
    """Where on the input an affine map's output comes from.

    Args:
        theta: ``(..., 2, 3)``, from output to input coordinates, normalised as under ``align_corners=False``.
        input_size: ``(H, W)`` of the input.
    Returns: ``(..., 4, 2)``: the corners of the sampled area as ``(x, y)`` in pixels of the input, pixel centres at
        integers, so ready to be drawn over ``imshow``. In the order of the output's corners: upper left, upper right,
        lower right, lower left.
    """
    height, width = input_size
    corners = theta.new_tensor([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]])  # homogeneous, [4, 3]
    normalised = corners @ theta.mT  # [..., 4, 2]
    return ((normalised + 1) * theta.new_tensor([width, height]) - 1) / 2


@torch.no_grad()
def draw(path: Path, transformer: SpatialTransformer, canvases: Tensor, labels: Tensor) -> None:
    """Two canvases of every class and, right of each, what the transformer makes of it, to a PNG."""
    figure = Figure(figsize=(11, 4.75), facecolor="white")
    # Digits 0 to 4 in the upper two rows, 5 to 9 in the lower two; empty columns keep the pairs apart.
    columns = figure.add_gridspec(4, 5 * 3 - 1, width_ratios=([1, 1, 0.22] * 5)[:-1], wspace=0.06, hspace=0.1,
                                  left=0.01, right=0.99, bottom=0.01, top=0.95)  # fmt: skip
    for digit in range(CLASSES):
        for example, index in enumerate((labels == digit).nonzero().flatten()[:2].tolist()):
            row, column = 2 * (digit // 5) + example, 3 * (digit % 5)
            canvas = canvases[index : index + 1]
            corners = outline(transformer.theta(canvas), (CANVAS, CANVAS))[0].cpu().numpy()
            left = figure.add_subplot(columns[row, column])
            left.imshow(canvas[0, 0].cpu().numpy(), cmap="gray_r", vmin=0, vmax=1)
            left.plot(*corners[[0, 1, 2, 3, 0]].T, color="tab:red", linewidth=1.5)
            left.plot(*corners[0], "o", color="tab:red", markersize=3.5)  # the output's upper left corner
            # Room around the canvas, in grey: zeros are read there, and quadrilaterals may reach into it.
            left.set(xlim=(-7, CANVAS + 6), ylim=(CANVAS + 6, -7), facecolor="0.93")
            right = figure.add_subplot(columns[row, column + 1])
            right.imshow(transformer(canvas)[0, 0].cpu().numpy(), cmap="gray_r", vmin=0, vmax=1)
            for axis, color, title in ((left, "0.85", "input"), (right, "tab:red", "transformed")):
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_color(color)
                if row == 0:
                    axis.set_title(title, fontsize=10, color="0.3")
    figure.savefig(path, dpi=120)


# The command


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value}, expected 1 or more")
    return value


def usable_device(name: str) -> torch.device:
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # an unknown name; a torch without CUDA
        raise argparse.ArgumentTypeError(str(error)) from error


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Classifies distorted digits with and without a spatial transformer")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with MNIST as idx or idx.gz files")
    parser.add_argument("--iterations", type=positive, default=468, help="batches per network (default: %(default)s)")
    parser.add_argument("--batch-size", type=positive, default=256, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of networks and batches (default: %(default)s)")
    default_device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", type=usable_device, default=default_device, help="(default here: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("stn_mnist.png"), help="the picture (default: %(default)s)")
    return parser.parse_args(argv)


def report(
    networks: dict[str, nn.Module], errors: dict[str, float], digits: Digits, options: argparse.Namespace
) -> None:
    print(f"\ntest error after {options.iterations} batches of {options.batch_size} (seed {options.seed}):")
    for title, network in networks.items():
        print(f"  {title:<20}{errors[title]:6.2f} %   {parameter_count(network):,} parameters")
    transformed, plain = errors.values()
    print(f"  {'gap':<20}{plain - transformed:6.2f} points")
    if not digits.is_mnist:
        print("These figures are not MNIST's: the digits are other ones (see the data line above).")


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    try:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        digits = load_mnist(options.data)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"data: {digits.source}: {len(digits.train_images):,} training and {len(digits.test_images):,} test digits")
    if not digits.is_mnist:
        print("      This is not MNIST.")
    images, labels = digits.train_images.to(options.device), digits.train_labels.to(options.device)
    test_canvases = distort(digits.test_images.to(options.device), Generator().manual_seed(TEST_SEED))
    test_labels = digits.test_labels.to(options.device)

    torch.manual_seed(options.seed)
    transformer = SpatialTransformer()
    # The control has more parameters, because it reads the whole canvas: the gap isn't one of size.
    networks: dict[str, nn.Module] = {
        "with transformer": nn.Sequential(transformer, classifier(WINDOW)).to(options.device),
        "without": classifier(CANVAS).to(options.device),
    }
    errors = {}
    for title, network in networks.items():
        train(network, images, labels, options, title)
        errors[title] = error_rate(network, test_canvases, test_labels)
    report(networks, errors, digits, options)
    draw(options.output, transformer, test_canvases, test_labels)
    print(f"picture: {options.output}")


if __name__ == "__main__":
    main()
