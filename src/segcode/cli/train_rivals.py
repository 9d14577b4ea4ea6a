"""`segcode train-rivals`: the learnt parts of the methods that refinement is compared with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segcode.cli.loading import choose_device, print_notes
from segcode.cli.options import Data, Device, LeaveOut, Root, Split
from segcode.cli.progress import progress, somebody_watches

if TYPE_CHECKING:
    from segcode.evaluation.baselines.head_training import EpochLosses

COLLAPSED = 0.1
"""A latent whose KL divergence is below this, in nats an image, is hardly used."""


def train_rivals(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="Folder of a trained model, or the name of one that comes with segcode."),
    ],
    data: Data,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="OUT", help="A new folder for the heads.", show_default=False)
    ],
    leave_out: LeaveOut,
    root: Root = None,
    split: Split = "train",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the images.")] = 20,
    beta: Annotated[float, typer.Option(min=0, help="Weight of the probabilistic U-Net's KL term.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the first weights, the order of the images and all noise.")] = 0,
    device: Device = "auto",
) -> None:
    """Train the rivals' heads on the frozen features of a model.

    A stochastic segmentation network and a probabilistic U-Net learn beside each other; the model itself stays as it
    is. OUT gets heads.safetensors and config.json, and fits this model alone. Train on the images that the model was
    trained on, leaving out the same ones.
    """
    from segcode.data.select import select
    from segcode.data.sources import open_source
    from segcode.evaluation.baselines.head_training import HeadTraining, train_heads
    from segcode.evaluation.baselines.heads import refuse_existing, save_heads
    from segcode.model.checkpoint import load_model

    refuse_existing(out)
    trained = load_model(model)
    trained.model.to(choose_device(device))
    source = select(open_source(data, root, split), leave_out=leave_out)
    print_notes(source)
    config = HeadTraining(epochs=epochs, beta=beta, seed=seed)
    heads, losses = train_heads(
        trained.model,
        trained.classes,
        source,
        config,
        progress=lambda indices: progress(indices, len(indices), "Training the rivals"),
        report=None if somebody_watches() else lambda epoch, at: typer.echo(epoch_line(at, epoch, epochs), err=True),
    )
    save_heads(out, heads, trained.model)
    first, last = losses[0], losses[-1]
    typer.echo(
        f"{len(source)} images, {epochs} epochs; loss of the stochastic segmentation network "
        f"{first.ssn:.4f} to {last.ssn:.4f}, of the probabilistic U-Net {first.punet:.4f} to {last.punet:.4f}, "
        f"its KL {first.kl:.2f} to {last.kl:.2f} nats an image"
    )
    if warning := collapse(last):
        typer.echo(warning, err=True)
    typer.echo(f"The heads are in {out}; they fit the model {model} alone")


def epoch_line(losses: EpochLosses, epoch: int, epochs: int) -> str:
    """Both losses of an epoch, and the probabilistic U-Net's KL."""
    return (
        f"epoch {epoch:3d} of {epochs}   loss: SSN {losses.ssn:.4f}   probabilistic U-Net {losses.punet:.4f}   "
        f"KL {losses.kl:.2f}"
    )


def collapse(losses: EpochLosses) -> str | None:
    """A warning if the probabilistic U-Net does without its latent."""
    if losses.kl >= COLLAPSED:
        return None
    return f"The probabilistic U-Net's KL is {losses.kl:.3f} nats an image; its latent is hardly used: lower --beta"
