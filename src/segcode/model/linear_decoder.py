"""logits = S0(I) + J(I) c: the decoder without nonlinearities (Fig. 2, bottom right).

"Identity activations" with concatenation alone would give W [x, f] = Wx x + Wf f, whose derivative by the code is the
same for every image. As in SceneCode (Zhi et al. 2019) each layer also gets the product of the code path with image
features, W [x, f, x * g(f)]: still linear in x, but with a matrix that the image sets pixel by pixel. The layers are
1 x 1: the features have the context already, and what N unit codes do is then cheap to know.

What such layers make of x = 0 is S0, and what they add for x is J c. Each of the two has weights of its own, so that
the code can be trained while the first prediction stays as it is.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from segcode.model.config import STRIDES, ModelConfig
from segcode.model.features import Pyramid, resize_like
from segcode.resampling import between, neighbours, resize
from segcode.tensors import Code, Logits, Pixels

BAND = 2**14
"""Pixels of a map that a CPU computes at a time, so that what is in between stays in its cache."""

SMALL = 2**12
"""Pixels of a map of which all are computed at once."""

BLOCK = 2**6
"""Pixels whose Jacobian a CPU computes at a time, so that the memory for what is in between is used again."""


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
    def pass_on(self, count: int) -> None:
        """Let the first `count` channels of the code path through as they are."""
        self.of_code.weight[:count] = 0
        for channel in range(count):
            self.of_code.weight[channel, channel] = 1

    def forward(self, x: Tensor, feature: Tensor, onto: Tensor | None = None) -> Tensor:
        """(k, R, h, w) and features (1 or k, C, H, W) to (k, outputs, H, W), added to maps (outputs, H, W) if given."""
        small = feature.shape[2] * feature.shape[3] <= SMALL
        if small or torch.is_grad_enabled() or feature.is_cuda or torch.is_autocast_enabled("cpu"):
            mixed = self._mixed(resize_like(x, feature), feature)
            return mixed if onto is None else mixed + onto
        mixed = x.new_empty(len(x), len(self.of_code.weight), *feature.shape[2:])
        for maps, one, of_image in zip(mixed, x, feature.expand(len(x), -1, -1, -1), strict=True):
            self._mix_in_bands(one, of_image, onto, maps)
        return mixed

    def _mix_in_bands(self, x: Tensor, feature: Tensor, onto: Tensor | None, mixed: Tensor) -> None:
        """The same for one image on a CPU, written into `mixed` band by band, each in memory that serves them all."""
        rows, columns = feature.shape[1:]
        wide = resize(x[None], (x.shape[1], columns))[0]
        before, after, share = between(torch.arange(rows), rows, x.shape[1])
        share = share.to(x.dtype)[:, None]
        weight = self.of_code.weight.flatten(1)
        height = min(rows, max(1, BAND // columns))
        parts = x.new_empty(weight.shape[1], height * columns)
        for start in range(0, rows, height):
            band = slice(start, start + height)
            image, into = feature[:, band].flatten(1), mixed[:, band].flatten(1)
            inputs = parts[:, : image.shape[1]]
            plain, gated = inputs.split([len(x), len(inputs) - len(x)])
            above, under = wide.index_select(1, before[band]), wide.index_select(1, after[band])
            torch.lerp(above, under, share[band], out=plain.unflatten(1, (-1, columns)))
            if self.gate is not None:
                torch.mul(plain, _applied(self.gate, image), out=gated)
            if onto is None:
                into.zero_()
            else:
                into.copy_(onto[:, band].flatten(1))
            if self.of_image is not None:
                into.add_(_applied(self.of_image, image))
            torch.addmm(into, weight, inputs, out=into)

    def _mixed(self, x: Tensor, feature: Tensor) -> Tensor:
        # Products of matrices, for a CPU multiplies those several times faster than it convolves 1 x 1.
        weight, size = self.of_code.weight.flatten(1), feature.shape[2:]
        x, feature = x.flatten(2), feature.flatten(2)
        if self.gate is None:
            x = _product(weight, x)
        else:
            plain, gated = weight.chunk(2, dim=1)
            x = _product(plain, x) + _product(gated, x * _applied(self.gate, feature))
        if self.of_image is not None:
            x = x + _applied(self.of_image, feature)
        return x.unflatten(2, size)

    def matrix_at(self, feature: Tensor) -> Tensor:
        """The linear part at single pixels: features (n, C) to matrices (n, outputs, R)."""
        weight = self.of_code.weight[:, :, 0, 0]
        if self.gate is None:
            return weight.expand(len(feature), -1, -1)
        plain, gated = weight.chunk(2, dim=1)
        gate = functional.linear(feature, self.gate.weight.flatten(1), self.gate.bias)
        return plain + gated * gate[:, None]


def _applied(layer: nn.Conv2d, feature: Tensor) -> Tensor:
    """A 1 x 1 convolution of (C, P), or of (B, C, P)."""
    assert layer.bias is not None
    weight, bias = layer.weight.flatten(1), layer.bias[:, None]
    return torch.addmm(bias, weight, feature) if feature.ndim == 2 else _product(weight, feature) + bias


def _product(matrix: Tensor, x: Tensor) -> Tensor:
    """A matrix (outputs, C) times each of (B, C, P)."""
    return matrix.expand(len(x), -1, -1).bmm(x)


class ConditionedPath(nn.Module):
    """Layers from stride 16 up to `code_stride`, and a last one at full resolution that gives logits."""

    def __init__(self, config: ModelConfig, of_image: bool) -> None:
        super().__init__()
        channels, product = config.code_channels, config.conditioning == "product"
        self.strides = [s for s in STRIDES if s >= config.code_stride]
        self.layers = nn.ModuleList(
            ConditionedLayer(channels, config.channels(s), channels, product, of_image) for s in self.strides
        )
        self.last = ConditionedLayer(channels, config.channels(1), config.classes, product, of_image)

    def forward(self, x: Tensor, features: Pyramid, onto: Float[Tensor, "M H W"] | None = None) -> Logits:
        """(k, R, h, w) to (k, M, H, W), added to a map if one is given."""
        for stride, layer in zip(self.strides, self.layers, strict=True):
            x = layer(x, features[stride])
        return self.last(x, features[1], onto)

    def at(self, grid: Float[Tensor, "h w R k"], features: Pyramid, pixels: Pixels) -> Float[Tensor, "n M k"]:
        """What `forward` would give at pixels of one image, for k inputs; without what the image alone adds.

        A layer is a matrix at each cell, and what it is applied to is resampled from four cells of the layer before. So
        pixels take few cells of each coarser layer, down to the grid, and no map of all cells is ever made.
        """
        return self._at(len(self.layers), grid, features, pixels.to(grid.device))

    def _at(self, level: int, grid: Float[Tensor, "h w R k"], features: Pyramid, cells: Pixels) -> Tensor:
        """At cells of one layer's resolution."""
        if level < 0:
            return grid[cells[:, 0], cells[:, 1]]
        strides, layer = (*self.strides, 1), (*self.layers, self.last)[level]
        assert isinstance(layer, ConditionedLayer)
        feature = features[strides[level]][0]
        rows, columns = grid.shape[:2] if level == 0 else features[strides[level - 1]].shape[-2:]
        corners, share = neighbours(cells, (feature.shape[1], feature.shape[2]), (rows, columns))
        needed, corners = corners.unique(return_inverse=True)
        x = self._at(level - 1, grid, features, torch.stack([needed // columns, needed % columns], dim=1))
        matrices, below = layer.matrix_at(feature[:, cells[:, 0], cells[:, 1]].T), x.flatten(1)
        made = x.new_empty(len(cells), matrices.shape[1], x.shape[2])
        size = len(cells) if torch.is_grad_enabled() or feature.is_cuda else BLOCK
        for start in range(0, len(cells), max(1, size)):
            block = slice(start, start + size)
            mixed = functional.embedding_bag(corners[block], below, per_sample_weights=share[block], mode="sum")
            made[block] = matrices[block] @ mixed.unflatten(1, x.shape[1:])
        return made


class LinearDecoder(nn.Module):
    """The code laid out on a grid, and a linear path that the image conditions; beside it the one of zero code.

    Before any training the code adds smooth waves to the logits, class by class, the longest first:
    "less road", "more sky on top". From there the training bends them to the image. A code that starts at random hardly
    learns to say that a class ends where it was told to end (docs/results.md).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.code_channels
        self.grid_shape = (channels, *config.code_grid)
        self.grid = nn.Linear(config.code_size, channels * config.code_grid[0] * config.code_grid[1], bias=False)
        self.of_code = ConditionedPath(config, of_image=False)
        self.of_zero = ConditionedPath(config, of_image=True)
        if config.code_start == "waves":
            self._start_with_waves(min(config.classes, channels))

    @torch.no_grad()
    def _start_with_waves(self, classes: int) -> None:
        on_grid = self.grid.weight.view(*self.grid_shape, -1)
        on_grid[:classes] = 0
        waves = cosines(self.grid_shape[1], self.grid_shape[2])
        for number in range(min(on_grid.shape[-1], classes * len(waves))):
            on_grid[number % classes, :, :, number] = waves[number // classes]
        for layer in (*self.of_code.layers, self.of_code.last):
            assert isinstance(layer, ConditionedLayer)
            layer.pass_on(classes)

    def forward(self, features: Pyramid, code: Code) -> Logits:
        """Logits (B, M, H, W) of one code an image, affine in the code: Eq. 1 before the softmax."""
        return self.base(features) + self.linear(features, code)

    def base(self, features: Pyramid) -> Logits:
        """S0(I), the logits of zero code (Eq. 6)."""
        image = features[1]
        return self.of_zero(image.new_zeros(len(image), *self.grid_shape), features)

    def linear(self, features: Pyramid, codes: Code, onto: Float[Tensor, "M H W"] | None = None) -> Logits:
        """J(I) c, what codes (k, N) add to the logits of one image, or of k images; added to a map if one is given."""
        return self.of_code(self.grid(codes).unflatten(1, self.grid_shape), features, onto)

    def linear_at(self, features: Pyramid, codes: Float[Tensor, "N k"], pixels: Pixels) -> Float[Tensor, "n M k"]:
        """J(I) c at pixels of one image."""
        grid = (self.grid.weight @ codes).unflatten(0, self.grid_shape).permute(1, 2, 0, 3)
        return self.of_code.at(grid, features, pixels)

    def jacobian_at(self, features: Pyramid, pixels: Pixels) -> Float[Tensor, "n M N"]:
        """J(I) at pixels of one image: what unit codes add."""
        return self.of_code.at(self.grid.weight.unflatten(0, self.grid_shape).permute(1, 2, 0, 3), features, pixels)


def cosines(rows: int, columns: int) -> Float[Tensor, "waves rows columns"]:
    """The discrete cosine basis of a grid (Ahmed et al. 1974), the constant first, by growing frequency."""

    def waves(count: int) -> Tensor:
        places = (torch.arange(count) + 0.5) * torch.pi / count
        return torch.cos(torch.arange(count)[:, None] * places)

    products = waves(rows)[:, None, :, None] * waves(columns)[None, :, None, :]
    frequency = (torch.arange(rows)[:, None] ** 2 + torch.arange(columns) ** 2).flatten()
    return products.flatten(0, 1)[frequency.argsort(stable=True)]
