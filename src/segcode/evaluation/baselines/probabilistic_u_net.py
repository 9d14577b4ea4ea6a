"""Probabilistic U-Net (Kohl et al. 2018): one latent z for an image, with a prior net that sees the image.

Prior net and posterior net see the frozen features at stride 16, the posterior net the labels, too. The combiner, three
1 x 1 convolutions of the last features and z, gives what is added to the initial prediction S0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional

from segcode.batches import Code, Labels, Logits
from segcode.evaluation.baselines.labelled import LabelledCells, linearised_by, minimise
from segcode.loss import cross_entropy
from segcode.model.features import Backbone, Pyramid
from segcode.model.label_encoder import diagonal_gaussian, one_hot
from segcode.refinement.refiner import Refiner
from segcode.tensors import Image
from segcode.truth.truth import Truth


class LatentNet(nn.Module):
    """Maps at stride 16 to a Gaussian over z: two 3 x 3 convolutions, the mean over the image, a linear layer."""

    def __init__(self, inputs: int, latent: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(hidden, 2 * latent),
        )

    def forward(self, x: Float[Tensor, "B C h w"]) -> Normal:
        mean, log_variance = self.layers(x).chunk(2, dim=1)
        return diagonal_gaussian(mean, log_variance)


class ProbabilisticUNet(nn.Module):
    """Prior net, posterior net and combiner."""

    def __init__(self, backbone: Backbone, classes: int, latent: int, hidden: int) -> None:
        super().__init__()
        self.classes, self.finest = classes, backbone.strides[-1]
        channels = dict(zip(backbone.strides, backbone.out_channels, strict=True))
        self.prior = LatentNet(channels[16], latent, hidden)
        self.posterior = LatentNet(channels[16] + classes, latent, hidden)
        self.combiner = nn.Sequential(
            nn.Conv2d(channels[self.finest] + latent, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, classes, 1),
        )

    def explained(self, features: Pyramid, labels: Labels) -> Normal:
        """q(z | image, labels): the labels as shares of each class in the cells of stride 16."""
        coarse = features[16]
        shares = functional.adaptive_avg_pool2d(one_hot(labels, self.classes), (coarse.shape[2], coarse.shape[3]))
        return self.posterior(torch.cat([coarse, shares], dim=1))

    def combine(self, features: Pyramid, latents: Code) -> Logits:
        """The sum that latents (k, latent) add to the logits of one image, or of k images."""
        fine = features[self.finest].expand(len(latents), -1, -1, -1)
        spread = latents[:, :, None, None].expand(-1, -1, *fine.shape[-2:])
        return self.combiner(torch.cat([fine, spread], dim=1))


class PUNetLoss(NamedTuple):
    """Negative evidence lower bound a pixel, and its parts: total = cross_entropy + beta * kl / pixels."""

    total: Tensor
    cross_entropy: Tensor
    kl: Tensor


def punet_loss(net: ProbabilisticUNet, features: Pyramid, base: Logits, labels: Labels, beta: float) -> PUNetLoss:
    """Cross-entropy for z drawn from the posterior net, and beta * KL(posterior || prior).

    Kohl et al. add up over the pixels; divided by their number, `beta` means the same at every resolution.
    """
    prior, posterior = net.prior(features[16]), net.explained(features, labels)
    misfit = cross_entropy(base + net.combine(features, posterior.rsample()), labels)
    kl = kl_divergence(posterior, prior).sum(1).mean()
    return PUNetLoss(misfit + beta * kl / labels[0].numel(), misfit, kl)


class LikeliestSample:
    """The draw from the prior net, one of 16, that explains the labelled cells best; the prior's mean without labels.

    Args:
        net: trained on the features of the refiner's model.
    """

    count = 16
    name = f"probabilistic U-Net, best of {count}"

    def __init__(self, net: ProbabilisticUNet) -> None:
        self.net = net

    @torch.no_grad()
    def begin(self, refiner: Refiner, image: Image) -> None:
        self.linearised = linearised_by(refiner)
        prior = self.net.to(self.linearised.base_logits.device).prior(self.linearised.features[16])
        self.mean, self.deviation = prior.mean, prior.stddev
        noise = torch.randn(self.count, self.mean.shape[1], generator=torch.Generator().manual_seed(0))
        self.drawn = self.mean + self.deviation * noise.to(self.mean)
        self._of_drawn = self.logits(self.drawn)

    def logits(self, latents: Code) -> Float[Tensor, "k M h w"]:
        """The logits of each of the latents (k, latent)."""
        return self.linearised.base_logits + self.net.combine(self.linearised.features, latents)

    def likeliest(self, labelled: LabelledCells) -> int:
        """The index of the draw that explains the cells best."""
        return int(labelled.misfit(self._of_drawn).argmin())

    @torch.no_grad()
    def refine(self, truth: Truth) -> Float[ndarray, "M h w"]:
        labelled = LabelledCells.of(truth, self.linearised)
        best = self._of_drawn[self.likeliest(labelled)] if len(labelled) else self.logits(self.mean)[0]
        return best.cpu().numpy()


class OptimisedLatent:
    """z of the highest posterior density under the prior net and the labelled cells; the prior's mean without labels.

    L-BFGS starts from the likeliest of 16 draws, since the energy is not convex.

    Args:
        net: trained on the features of the refiner's model.
        label_weight: of the likelihood of a labelled cell.
    """

    name = "probabilistic U-Net, z optimised"

    def __init__(self, net: ProbabilisticUNet, label_weight: float) -> None:
        self.label_weight = label_weight
        self._samples = LikeliestSample(net)

    def begin(self, refiner: Refiner, image: Image) -> None:
        self._samples.begin(refiner, image)

    def refine(self, truth: Truth) -> Float[ndarray, "M h w"]:
        samples = self._samples
        labelled = LabelledCells.of(truth, samples.linearised)

        def energy(white: Tensor) -> Tensor:
            misfit = labelled.misfit(samples.logits(samples.mean + samples.deviation * white))[0]
            return self.label_weight * misfit + 0.5 * white.square().sum()

        start = torch.zeros_like(samples.mean)
        if len(labelled):
            start = (samples.drawn[samples.likeliest(labelled)] - samples.mean) / samples.deviation
        white = minimise(energy, start)
        with torch.no_grad():
            return samples.logits(samples.mean + samples.deviation * white)[0].cpu().numpy()
