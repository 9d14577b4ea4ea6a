"""logits = S0(I) + J(I) c: the decoder without nonlinearities (Fig. 2, bottom right).

"Identity activations" with concatenation alone would give W [x, f] = Wx x + Wf f, whose derivative by the code is the
same for every image. As in SceneCode (Zhi et al. 2019) each layer also gets the product of the code path with image
features, W [x, f, x * g(f)]: still linear in x, but with a matrix that the image sets pixel by pixel. The layers are
1 x 1: the features have the context already, and the Jacobian at a pixel is then cheap.

These layers give S0 for x = 0, and J c is what they add for x. Each of the two has weights of its own, so that the code
can be trained while the initial prediction stays as it is.

`jacobian` computes J at pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from segcode.batches import Code, Logits
from segcode.model.config import ModelConfig
from segcode.model.features import Backbone, Pyramid
from segcode.resampling import resize


class ConditionedLayer(nn.Module):
    """W [x, f, x * g(f)], the product left out for plain concatenation; no normalisation, so affine in x always.

    Without `of_image`, the part Wf f, it is linear in x.
    """

    def __init__(self, inputs: int, features: int, outputs: int, product: bool, of_image: bool) -> None:
        super().__init__()
        self.gate = nn.Conv2d(features, inputs, 1) if product else None
        self.of_code = nn.Conv2d(2 * inputs if product else inputs, outputs, 1, bias=False)
        self.of_image = nn.Conv2d(features, outputs, 1) if of_image else None

    @torch.no_grad()
    def start_as_identity(self, count: int) -> None:
        """Set the weights so that the first `count` channels of the code path pass unchanged."""
        self.of_code.weight[:count] = 0
        for channel in range(count):
            self.of_code.weight[channel, channel] = 1

    def gates(self, feature: Tensor) -> Tensor | None:
        """g(f) of features (B, C, H, W), as (B, inputs, H * W)."""
        return None if self.gate is None else _convolved(self.gate, feature.flatten(2))

    def forward(self, x: Tensor, feature: Tensor, gates: Tensor | None = None) -> Tensor:
        """Code path (k, R, h, w) and features (1 or k, C, H, W), and their gates if at hand, to (k, outputs, H, W)."""
        # Products of matrices, because a CPU multiplies those several times faster than it convolves 1 x 1.
        x, weight = resize(x, feature.shape[-2:]).flatten(2), self.of_code.weight.flatten(1)
        gates = self.gates(feature) if gates is None else gates
        if gates is None:
            mixed = _product(weight, x)
        else:
            plain, gated = weight.chunk(2, dim=1)
            mixed = _product(plain, x) + _product(gated, x * gates)
        if self.of_image is not None:
            mixed = mixed + _convolved(self.of_image, feature.flatten(2))
        return mixed.unflatten(2, feature.shape[2:])

    def matrices(self, feature: Float[Tensor, "n C"]) -> Float[Tensor, "n outputs R"]:
        """What `x` is multiplied by at single cells."""
        weight = self.of_code.weight[:, :, 0, 0]
        if self.gate is None:
            return weight.expand(len(feature), -1, -1)
        plain, gated = weight.chunk(2, dim=1)
        gate = functional.linear(feature, self.gate.weight.flatten(1), self.gate.bias)
        return plain + gated * gate[:, None]


def _convolved(layer: nn.Conv2d, feature: Tensor) -> Tensor:
    """A 1 x 1 convolution of (B, C, P)."""
    assert layer.bias is not None
    return _product(layer.weight.flatten(1), feature) + layer.bias[:, None]


def _product(matrix: Tensor, x: Tensor) -> Tensor:
    """A matrix (outputs, C) times each of (B, C, P)."""
    return matrix.expand(len(x), -1, -1).bmm(x)


class ConditionedPath(nn.Module):
    """Layers from the coarsest stride up to `stride`, and a last one at the finest that gives logits."""

    def __init__(self, backbone: Backbone, config: ModelConfig, stride: int, of_image: bool) -> None:
        super().__init__()
        channels, product = config.code_channels, config.conditioning == "product"
        inputs = dict(zip(backbone.strides, backbone.out_channels, strict=True))
        self.strides = [s for s in backbone.strides if s >= stride]
        self.finest = backbone.strides[-1]
        self.layers = nn.ModuleList(
            ConditionedLayer(channels, inputs[s], channels, product, of_image) for s in self.strides
        )
        self.last = ConditionedLayer(channels, inputs[self.finest], config.classes, product, of_image)

    @property
    def levels(self) -> list[tuple[int, ConditionedLayer]]:
        """Stride and layer, from the grid of the code to the logits."""
        layers = [layer for layer in (*self.layers, self.last) if isinstance(layer, ConditionedLayer)]
        return list(zip((*self.strides, self.finest), layers, strict=True))

    def gates(self, features: Pyramid) -> list[Tensor | None]:
        """Those of every level, which depend on the image alone."""
        return [layer.gates(features[stride]) for stride, layer in self.levels]

    def forward(self, x: Tensor, features: Pyramid, gates: Sequence[Tensor | None] = ()) -> Logits:
        """(k, R, h, w), and the gates of the features if at hand, to (k, M, H, W)."""
        for (stride, layer), gate in zip_longest(self.levels, gates):
            x = layer(x, features[stride], gate)
        return x


class LinearDecoder(nn.Module):
    """The code laid out on a grid, a linear path that the image conditions, and beside it the path of S0: Eq. 1.

    Before training the code adds smooth waves to the logits, class by class, the longest first: "less road", "more sky
    on top". Training bends them to the image. From a random start a code hardly learns to end a class where it should
    end (docs/results.md).
    """

    def __init__(self, backbone: Backbone, code_backbone: Backbone, config: ModelConfig) -> None:
        super().__init__()
        channels = config.code_channels
        self.grid_shape = (channels, *config.code_grid)
        self.grid = nn.Linear(config.code_size, channels * config.code_grid[0] * config.code_grid[1], bias=False)
        self.of_code = ConditionedPath(code_backbone, config, config.code_stride, of_image=False)
        self.of_zero = ConditionedPath(backbone, config, config.base_stride, of_image=True)
        if config.code_start == "waves":
            self._start_with_waves(min(config.classes, channels))

    @torch.no_grad()
    def _start_with_waves(self, classes: int) -> None:
        on_grid = self.grid.weight.view(*self.grid_shape, -1)
        on_grid[:classes] = 0
        waves = cosines(self.grid_shape[1], self.grid_shape[2])
        for number in range(min(on_grid.shape[-1], classes * len(waves))):
            on_grid[number % classes, :, :, number] = waves[number // classes]
        for _, layer in self.of_code.levels:
            layer.start_as_identity(classes)

    def base(self, features: Pyramid) -> Logits:
        """S0(I), the logits of zero code (Eq. 6)."""
        image = features[self.of_zero.finest]
        return self.of_zero(image.new_zeros(len(image), *self.grid_shape), features)

    def linear(self, features: Pyramid, codes: Code, gates: Sequence[Tensor | None] = ()) -> Logits:
        """J(I) c, what codes (k, N) add to the logits of one image, or of k, on the grid of the finest features."""
        return self.of_code(self.on_grid(codes), features, gates)

    def on_grid(self, codes: Code) -> Float[Tensor, "k R h w"]:
        """Codes (k, N) laid out on the grid."""
        return self.grid(codes).unflatten(1, self.grid_shape)


def cosines(rows: int, columns: int) -> Float[Tensor, "waves rows columns"]:
    """The discrete cosine basis of a grid (Ahmed et al. 1974), the constant first, by growing frequency."""

    def waves(count: int) -> Tensor:
        places = (torch.arange(count) + 0.5) * torch.pi / count
        return torch.cos(torch.arange(count)[:, None] * places)

    products = waves(rows)[:, None, :, None] * waves(columns)[None, :, None, :]
    frequency = (torch.arange(rows)[:, None] ** 2 + torch.arange(columns) ** 2).flatten()
    return products.flatten(0, 1)[frequency.argsort(stable=True)]
