"""The classifiers of the paper's experiments, with and without a spatial transformer before them, all of about one size.

The paper's networks have about 400,000 parameters each. Of the fully connected ones the first hidden layer is as wide as that
allows, so that what a localisation network takes is taken from the classifier. The convolutional ones have the paper's 64
filters, which makes 210,000 to 270,000: the larger the canvas, the more the last layer sees.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from stn_cuda.localization import ConvolutionalLocalization, FullyConnectedLocalization, Localization
from stn_cuda.modules import RecurrentSpatialTransformer, SpatialTransformer
from stn_cuda.transforms import Affine, Attention, Projective, ThinPlateSpline, Transform

from .torch_sampler import TorchSpatialTransformer

CLASSES = 10
PARAMETERS = 400_000
SECOND_HIDDEN = 200
FILTERS = 64
WINDOW = 28  # the side of what a transformer hands to the classifier, in pixels
STEPS = 4  # of the recurrent transformer

TRANSFORMS: dict[str, Callable[[], Transform]] = {
    "Aff": Affine, "Proj": Projective, "TPS": lambda: ThinPlateSpline((4, 4)), "Att": Attention,
}
SAMPLERS = ("stn_cuda", "torch")


@dataclass(frozen=True)
class Architecture:
    """What a network is made of, by its name: ``FCN``, ``ST-CNN Aff``, ``IC-ST-FCN Aff``."""

    classifier: str  # FCN or CNN
    transform: str | None = None
    is_recurrent: bool = False

    @property
    def name(self) -> str:
        if self.transform is None:
            return self.classifier
        return f"{'IC-' if self.is_recurrent else ''}ST-{self.classifier} {self.transform}"


ARCHITECTURES = {
    architecture.name: architecture
    for kind in ("FCN", "CNN")
    for architecture in (
        Architecture(kind), *(Architecture(kind, name) for name in TRANSFORMS), *(
            Architecture(kind, name, is_recurrent=True) for name in TRANSFORMS if name != "TPS"))
}


def make_network(
    architecture: Architecture, canvas: int, sampler: str = "stn_cuda", pool: bool = False, **options: Any
) -> nn.Module:
    """Takes canvases ``(B, 1, canvas, canvas)`` to logits ``(B, 10)``.

    ``pool``: the transformer samples at twice the resolution and averages 2 x 2, the paper's antialiasing for RTS and TC.
    ``sampler="torch"``: torch's own functions in the place of ``stn_cuda``'s. ``options``: of the transformer's module.
    """
    if architecture.transform is None:
        return classifier(architecture.classifier, canvas, PARAMETERS)
    transform = TRANSFORMS[architecture.transform]()
    size = 2 * WINDOW if pool else WINDOW
    seen = size if architecture.is_recurrent else canvas  # by the localisation network
    predictor = localization(architecture, transform, seen)
    if sampler == "torch":
        if architecture.is_recurrent or options:
            raise ValueError(
                f"{architecture.name}: the sampler torch is for networks without recurrence, and the exact gradient")
        transformer: nn.Module = TorchSpatialTransformer(predictor, transform, size)
    elif architecture.is_recurrent:
        transformer = RecurrentSpatialTransformer(predictor, transform, size, steps=STEPS, **options)
    else:
        transformer = SpatialTransformer(predictor, transform, size, **options)
    left = PARAMETERS - parameter_count(transformer)
    pooling = [nn.AvgPool2d(2)] if pool else []
    return nn.Sequential(transformer, *pooling, classifier(architecture.classifier, WINDOW, left))


def localization(architecture: Architecture, transform: Transform, image: int) -> Localization:
    if architecture.classifier == "FCN":
        return FullyConnectedLocalization(transform, in_features=image * image)
    return ConvolutionalLocalization(transform, in_channels=1, working_size=image // 2)


def classifier(kind: str, image: int, parameters: int) -> nn.Module:
    return fully_connected(image * image, parameters) if kind == "FCN" else convolutional(image)


def fully_connected(inputs: int, parameters: int) -> nn.Module:
    """Two hidden layers, the first of which is as wide as makes this many ``parameters``, or a little fewer."""
    above = SECOND_HIDDEN + SECOND_HIDDEN * CLASSES + CLASSES  # biases of the second layer, and the last
    hidden = (parameters - above) // (inputs + 1 + SECOND_HIDDEN)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, SECOND_HIDDEN), nn.ReLU(),
        nn.Linear(SECOND_HIDDEN, CLASSES),
    )


def convolutional(image: int) -> nn.Module:
    """conv 9 x 9, pooling, conv 7 x 7, pooling, softmax: on 28 x 28 the last sees 2 x 2 of each filter."""
    side = ((image - 8) // 2 - 6) // 2
    return nn.Sequential(
        nn.Conv2d(1, FILTERS, 9), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(FILTERS, FILTERS, 7), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(FILTERS * side * side, CLASSES),
    )


def parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def transformer_of(network: nn.Module) -> SpatialTransformer | RecurrentSpatialTransformer | None:
    """The spatial transformer in a network of :func:`make_network`."""
    found = [part for part in network.modules() if isinstance(part, (SpatialTransformer, RecurrentSpatialTransformer))]
    return found[0] if found else None


def predictions(network: nn.Module, canvases: Tensor) -> Tensor:
    return network(canvases).argmax(1)
