"""What the modules that sample images have in common: a transform, the options of its sampler, and theta of the last call."""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ._average_pool import sizes_of
from ._transform_names import as_transform
from .fused import affine_sample
from .localization import Localized
from .transforms import Transform

if TYPE_CHECKING:
    from typing_extensions import Unpack


class SamplingOptions(TypedDict, total=False):
    """The arguments of ``Transform.sample`` that a module has by keyword, with the same defaults."""

    mode: str
    padding_mode: str | Sequence[str]
    align_corners: bool
    fill_value: complex | Tensor | None
    antialias: bool
    gradient: str
    reach: float
    samples: int


class SamplingModule(Localized):
    """The base: ``warp(source, theta)``, and checks of everything that a constructor can check.

    Attributes: ``transform``; ``output_size``, a tuple or None; ``last_theta``. ``fill_value`` is a number, a parameter if it
    was given as one, or a buffer that is no state.
    """

    fill_value: complex | Tensor | None

    def __init__(
        self, transform: Transform | str, output_size: int | Sequence[int] | None = None, **options: Unpack[SamplingOptions]
    ) -> None:
        super().__init__()
        name = type(self).__name__
        known = SamplingOptions.__annotations__
        for option in options:
            if option not in known:
                raise TypeError(f"{name}: expected options among {', '.join(known)}, got {option!r}")
        self.transform = as_transform(name, transform)
        self.output_size = None if output_size is None else sizes_of(name, "output_size", output_size, self.transform.dims)
        fill_value = options.pop("fill_value", None)
        self.options: dict[str, Any] = {**options}
        if isinstance(fill_value, Tensor) and not isinstance(fill_value, nn.Parameter):
            self.register_buffer("fill_value", fill_value, persistent=False)  # an argument, but it follows .to()
        else:
            self.fill_value = fill_value
        self._theta_hooks: OrderedDict[int, Callable[..., None]] = OrderedDict()
        self._check_options()

    def warp(self, source: Tensor, theta: Tensor) -> Tensor:
        """Sample ``source`` ``(B, C, *spatial)`` through ``theta`` ``(B, num_params)``: ``(B, C, *output_size)``."""
        size = source.shape[2:] if self.output_size is None else self.output_size
        return self.transform.sample(source, theta, list(size), fill_value=self.fill_value, **self.options)

    def register_theta_hook(self, hook: Callable[[SamplingModule, Tensor, Tensor], None]) -> RemovableHandle:
        """Call ``hook(module, theta, source)`` in every forward, before ``source`` is sampled through theta; to look, not to
        change anything.

        theta is as ``last_theta``, but with its gradient: ``theta.register_hook`` sees that. As with ``last_theta``, nothing is
        called inside ``torch.func``, exports and traces. A compiled module runs hooks outside of its graph, which it breaks:
        with ``fullgraph=True`` torch refuses. Copies and checkpoints of the module have no hooks.

        Returns: a handle, whose ``remove()`` takes the hook away.
        """
        handle = RemovableHandle(self._theta_hooks)
        self._theta_hooks[handle.id] = torch.compiler.disable(hook, reason="hooks of theta run outside of the graph")
        return handle

    def _keep(self, theta: Tensor, source: Tensor | None = None) -> None:
        super()._keep(theta)
        # len(): Dynamo (torch 2.13) makes a guard of it, and none of whether a dict is empty; a hook would come too late
        if len(self._theta_hooks) > 0 and source is not None and self._may_keep():
            for hook in list(self._theta_hooks.values()):
                hook(self, theta, source)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_theta_hooks": OrderedDict()}  # who watches this module doesn't watch its copies

    def extra_repr(self) -> str:
        size = "that of its input" if self.output_size is None else self.output_size
        parts = [f"transform={self.transform!r}", f"output_size={size}"]
        parts += [f"{key}={value!r}" for key, value in self.options.items()]
        if isinstance(self.fill_value, Tensor):
            parts.append(f"fill_value of shape {tuple(self.fill_value.shape)}")
        elif self.fill_value is not None:
            parts.append(f"fill_value={self.fill_value!r}")
        return ", ".join(parts)

    def _localized(self, network: nn.Module, input: Tensor) -> Tensor:
        """theta of a localisation network, whose shape is checked under its name."""
        theta, count = network(input), self.transform.num_params
        if not isinstance(theta, Tensor):
            raise TypeError(f"{type(self).__name__}: expected localization to return a Tensor, got {type(theta).__name__}")
        batch = input.shape[0]
        if theta.dim() != 2 or theta.shape[1] != count or (theta.shape[0] != batch and theta.shape[0] != 1):
            raise ValueError(f"{type(self).__name__}: expected localization to return theta of shape ({batch}, {count}) for "
                             f"{self.transform.name}, got {tuple(theta.shape)}")
        return theta

    def _check_options(self) -> None:
        """At construction, by the sampler's own checks: one pixel through it. A fill value by channel has these channels."""
        fill, dims = self.fill_value, self.transform.dims
        if isinstance(fill, Tensor):
            fill = torch.zeros(fill.shape[-1:], dtype=fill.dtype, device="cpu")
        channels = fill.numel() if isinstance(fill, Tensor) else 1
        is_complex = isinstance(fill, complex) or (isinstance(fill, Tensor) and fill.is_complex())
        dtype = torch.complex64 if is_complex else torch.float32
        pixel = torch.zeros((1, channels, *(1,) * dims), dtype=dtype, device="cpu")
        affine_sample(pixel, torch.eye(dims, dims + 1, device="cpu")[None], fill_value=fill, **self.options)
        if not self.transform.has_matrix:
            self.transform._check_no_fused({"antialias": False, "gradient": "exact", **self.options})
