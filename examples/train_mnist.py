"""Trains a spatial transformer on rotated, scaled and shifted MNIST digits, and as large a classifier without one.

    python examples/train_mnist.py [--data DIR] [--iterations 468] [--output stn_mnist.png]

The transformer (Jaderberg et al. 2015) looks at a 42x42 canvas, predicts an affine map from its 28x28 output to the
canvas, and hands the classifier what it sampled there. Nobody tells it where the digit is: the map is learned from the
classification loss alone, through the gradient of the sampler.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

import torch
from command_line import load_digits, parser_of, positive
from matplotlib.figure import Figure
from torch import Tensor, nn
from tqdm import tqdm

if importlib.util.find_spec("stn_cuda") is None:  # built in place, but not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from distorted.batches import Batches, TestSet
from distorted.distortions import DISTORTIONS, Digits
from distorted.networks import CLASSES, PARAMETERS, WINDOW, fully_connected, parameter_count
from distorted.steps import count_wrong, error_rate, update

from stn_cuda.localization import FullyConnectedLocalization
from stn_cuda.modules import SpatialTransformer
from stn_cuda.transforms import Affine
from stn_cuda.visualize import draw_outline, outline

RTS = DISTORTIONS["RTS"]
LEARNING_RATE = 2e-3


# The networks: on canvases (B, 1, 42, 42)


def make_transformer() -> SpatialTransformer:
    localization = FullyConnectedLocalization(Affine(), in_features=RTS.canvas**2)  # starts at the identity
    return SpatialTransformer(localization, Affine(), output_size=WINDOW)


def make_networks(transformer: SpatialTransformer) -> dict[str, nn.Module]:
    """Of as many parameters each: the gap isn't one of size."""
    left = PARAMETERS - parameter_count(transformer)
    return {
        "with transformer": nn.Sequential(transformer, fully_connected(WINDOW**2, left)),
        "without": fully_connected(RTS.canvas**2, PARAMETERS),
    }


# Training


def train(network: nn.Module, batches: Batches, iterations: int, title: str) -> None:
    """Adam with a cosine schedule; fresh distortions in every batch, the same ones for the same seed."""
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
    progress = tqdm(range(iterations), title, unit="batch")
    for iteration in progress:
        loss = update(network, optimizer, *batches.batch(iteration))
        schedule.step()
        if iteration % 20 == 0:  # reading the loss waits for the device
            progress.set_postfix(loss=f"{loss.item():.2f}")


# The command


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = parser_of("Classifies distorted digits with and without a spatial transformer")
    parser.add_argument("--iterations", type=positive, default=468, help="batches per network (default: %(default)s)")
    parser.add_argument("--batch-size", type=positive, default=256, help="(default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("stn_mnist.png"), help="the picture (default: %(default)s)")
    return parser.parse_args(argv)


def report(networks: dict[str, nn.Module], errors: dict[str, float], options: argparse.Namespace) -> None:
    print(f"\ntest error after {options.iterations} batches of {options.batch_size} (seed {options.seed}):")
    for title, network in networks.items():
        print(f"  {title:<20}{errors[title]:6.2f} %   {parameter_count(network):,} parameters")
    transformed, plain = errors.values()
    print(f"  {'gap':<20}{plain - transformed:6.2f} points")


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    try:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        digits = load_digits(options.data)
        training = Digits.of(digits.train_images, digits.train_labels, options.device)
        batches = Batches(training, RTS, options.batch_size, options.seed)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    tests = list(TestSet(Digits.of(digits.test_images, digits.test_labels, options.device), RTS).blocks())

    torch.manual_seed(options.seed)
    transformer = make_transformer()
    networks = make_networks(transformer)
    errors = {}
    for title, network in networks.items():
        train(network.to(options.device), batches, options.iterations, title)
        errors[title] = error_rate(count_wrong(network, tests, options.device))
    report(networks, errors, options)
    if not digits.is_mnist:
        print("These figures are not MNIST's: the digits are other ones (see the data line above).")
    draw(options.output, transformer, *tests[0])
    print(f"picture: {options.output}")


# The picture


@torch.no_grad()
def draw(path: Path, transformer: SpatialTransformer, canvases: Tensor, labels: Tensor) -> None:
    """Two canvases of every class and, right of each, what the transformer makes of it, to a PNG."""
    size = canvases.shape[-1]
    white, black = canvases.min().item(), canvases.max().item()
    figure = Figure(figsize=(11, 4.75), facecolor="white")
    # Digits 0 to 4 in the upper two rows, 5 to 9 in the lower two; empty columns keep the pairs apart.
    columns = figure.add_gridspec(4, 5 * 3 - 1, width_ratios=([1, 1, 0.22] * 5)[:-1], wspace=0.06, hspace=0.1,
                                  left=0.01, right=0.99, bottom=0.01, top=0.95)  # fmt: skip
    for digit in range(CLASSES):
        for example, index in enumerate((labels == digit).nonzero().flatten()[:2].tolist()):
            row, column = 2 * (digit // 5) + example, 3 * (digit % 5)
            canvas = canvases[index : index + 1]
            border = outline(transformer.theta(canvas), transformer.transform, (size, size))[0]
            left = figure.add_subplot(columns[row, column])
            left.imshow(canvas[0, 0].cpu().numpy(), cmap="gray_r", vmin=white, vmax=black)
            draw_outline(left, border)
            # Room around the canvas, in grey: background is read there, and quadrilaterals may reach into it.
            left.set(xlim=(-7, size + 6), ylim=(size + 6, -7), facecolor="0.93")
            right = figure.add_subplot(columns[row, column + 1])
            right.imshow(transformer(canvas)[0, 0].cpu().numpy(), cmap="gray_r", vmin=white, vmax=black)
            for axis, color, title in ((left, "0.85", "input"), (right, "tab:red", "transformed")):
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_color(color)
                if row == 0:
                    axis.set_title(title, fontsize=10, color="0.3")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
