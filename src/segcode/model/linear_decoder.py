"""logits = S0(I) + J(I) c: the decoder without nonlinearities (Fig. 2, bottom right).

"Identity activations" with concatenation alone would give W [x, f] = Wx x + Wf f, whose derivative by the code is the
same for every image. As in SceneCode (Zhi et al. 2019) each layer also gets the product of the code path with image
features, W [x, f, x * g(f)]: still linear in x, but with a matrix that the image sets pixel by pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segcode.model.config import STRIDES, ModelConfig
from segcode.model.features import Pyramid, resize_like
from segcode.tensors import Code, Logits


class ConditionedLayer(nn.Module):
    """W [x, f, x * g(f)], the product left out for plain concatenation; no normalisation, so affine in x always."""

    def __init__(self, inputs: int, features: int, outputs: int, kernel: int, product: bool) -> None:
        super().__init__()
        self.gate = nn.Conv2d(features, inputs, 1) if product else None
        self.of_code = nn.Conv2d(2 * inputs if product else inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.of_image = nn.Conv2d(features, outputs, kernel, padding=kernel // 2)

    def forward(self, x: Tensor, feature: Tensor, affine: bool = True) -> Tensor:
        """(k, R, h, w) and features (1 or k, C, H, W) to (k, outputs, H, W); without W f, so linear in x, if asked."""
        x = resize_like(x, feature)
        if self.gate is not None:
            x = torch.cat([x, x * self.gate(feature)], dim=1)
        return self.of_code(x) + self.of_image(feature) if affine else self.of_code(x)

    def matrix_at(self, feature: Tensor) -> Tensor:
        """The linear part of a 1 x 1 layer at single pixels: features (n, C) to matrices (n, outputs, R)."""
        weight = self.of_code.weight[:, :, 0, 0]
        if self.gate is None:
            return weight.expand(len(feature), -1, -1)
        plain, gated = weight.chunk(2, dim=1)
        gate = self.gate(feature[:, :, None, None])[:, None, :, 0, 0]
        return plain + gated * gate


class LinearDecoder(nn.Module):
    """The code laid out on a grid, conditioned layers up to `code_stride`, and one at full resolution to the logits."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels, product = config.code_channels, config.conditioning == "product"
        self.grid_shape = (channels, *config.code_grid)
        self.grid = nn.Linear(config.code_size, channels * config.code_grid[0] * config.code_grid[1], bias=False)
        self.strides = [s for s in STRIDES if s >= config.code_stride]
        self.layers = nn.ModuleList(
            ConditionedLayer(channels, config.channels(s), channels, 3, product) for s in self.strides
        )
        self.last = ConditionedLayer(channels, config.channels(1), config.classes, 1, product)

    def forward(self, features: Pyramid, code: Code) -> Logits:
        """Logits (B, M, H, W) of one code an image, affine in the code: Eq. 1 before the softmax."""
        return self.last(self._code_path(features, code, affine=True), features[1])

    def base(self, features: Pyramid) -> Logits:
        """S0(I), the logits of zero code (Eq. 6)."""
        image = features[1]
        return self(features, image.new_zeros(len(image), self.grid.in_features))

    def code_maps(self, features: Pyramid, codes: Code) -> Tensor:
        """What codes (k, N) add before the last layer, (k, R, h, w): linear in the codes, at `code_stride`."""
        return self._code_path(features, codes, affine=False)

    def linear(self, features: Pyramid, codes: Code) -> Logits:
        """J(I) c, what codes (k, N) add to the logits of one image, or of k images."""
        return self.last(self.code_maps(features, codes), features[1], affine=False)

    def _code_path(self, features: Pyramid, codes: Code, affine: bool) -> Tensor:
        x = self.grid(codes).unflatten(1, self.grid_shape)
        for stride, layer in zip(self.strides, self.layers, strict=True):
            x = layer(x, features[stride], affine)
        return x
