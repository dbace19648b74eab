"""`calibrate pretrain`: the embedded model from nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fbclip.command import grouped

if TYPE_CHECKING:
    from calibrate.embedded.pretraining.embedded_model import EmbeddedModelRequest


@dataclass(frozen=True)
class PretrainOptions:
    """What is trained, on how much, where."""

    cache: Annotated[Path, typer.Option(help="folder for generated images and the training state; resumable")]
    out: Annotated[Path, typer.Option(help="folder for backbone, adapter and provenance")]
    steps: Annotated[int, typer.Option(min=1, help="optimiser steps of the backbone")] = 4400
    images: Annotated[int, typer.Option("--pictures", min=1, help="generated images for the backbone")] = 32_000
    base: Annotated[
        Path | None, typer.Option(help="backbone.safetensors of an earlier run to go on from; default: from nothing")
    ] = None
    learning_rate: Annotated[float, typer.Option(min=0, help="of the backbone, at its highest")] = 1e-3
    adapter_images: Annotated[
        int, typer.Option("--adapter-pictures", min=16, help="generated images for the adapter")
    ] = 2400
    adapter_epochs: Annotated[int, typer.Option(min=0, help="0: the adapter stays as it starts")] = 0
    adapter_only: Annotated[bool, typer.Option(help="keep the backbone in OUT and train its adapter anew")] = False
    seed: Annotated[int, typer.Option()] = 0
    threads: Annotated[int, typer.Option(min=1, help="CPU threads")] = 2
    machine: Annotated[str, typer.Option(help="kind of machine, for the provenance")] = "CPU"
    device: Annotated[str, typer.Option(help="cpu or cuda[:N]")] = "cpu"

    def request(self) -> EmbeddedModelRequest:
        """The same as one value; a plain `cuda` becomes the GPU that torchrun gave this process."""
        import os

        from calibrate.embedded.pretraining.adapter import AdapterRequest
        from calibrate.embedded.pretraining.config import PretrainConfig, fast_in_bfloat16
        from calibrate.embedded.pretraining.embedded_model import EmbeddedModelRequest
        from calibrate.embedded.pretraining.run import PretrainRequest
        from calibrate.tuning.training import Recipe

        local_rank = os.environ.get("LOCAL_RANK")
        device = f"cuda:{local_rank}" if self.device == "cuda" and local_rank is not None else self.device
        config = PretrainConfig(
            steps=self.steps, seed=self.seed, learning_rate=self.learning_rate, mixed=fast_in_bfloat16(device)
        )
        # At the paper's learning rate: a higher one spoils the map, on other families and on its own.
        recipe = Recipe(epochs=self.adapter_epochs, seed=self.seed)
        return EmbeddedModelRequest(
            PretrainRequest(self.cache, self.out, config, self.images, device, self.machine, self.base),
            AdapterRequest(self.cache, self.adapter_images, recipe, device=device),
            self.adapter_only,
        )


@grouped
def pretrain(options: PretrainOptions) -> None:
    """Train the embedded model from nothing: a small CLIP on generated images, then its adapter.

    The same command goes on where it stopped; under `torchrun` several processes share the backbone's steps.
    """
    import logging

    import torch

    from calibrate.embedded.pretraining.embedded_model import train_embedded_model

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    adapter = train_embedded_model(options.request())
    if adapter is not None:
        typer.echo(f"{options.out}: adapter {adapter.id[:12]}")
