"""`calibrate pretrain`: the embedded model from nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer


def pretrain(
    cache: Annotated[Path, typer.Option(help="folder for generated images and the training state; resumable")],
    out: Annotated[Path, typer.Option(help="folder for backbone, adapter and provenance")],
    steps: Annotated[int, typer.Option(min=1, help="optimiser steps of the backbone")] = 4400,
    pictures: Annotated[int, typer.Option(min=1, help="generated images for the backbone")] = 32_000,
    base: Annotated[
        Path | None, typer.Option(help="backbone.safetensors of an earlier run to go on from; default: from nothing")
    ] = None,
    learning_rate: Annotated[float, typer.Option(min=0, help="of the backbone, at its highest")] = 1e-3,
    adapter_pictures: Annotated[int, typer.Option(min=16, help="generated images for the adapter")] = 2400,
    adapter_epochs: Annotated[int, typer.Option(min=1)] = 1,
    adapter_only: Annotated[bool, typer.Option(help="keep the backbone in OUT and train its adapter anew")] = False,
    seed: int = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads")] = 2,
    machine: Annotated[str, typer.Option(help="kind of machine, for the provenance")] = "CPU",
    device: Annotated[str, typer.Option(help="cpu or cuda[:N]")] = "cpu",
) -> None:
    """Train the embedded model from nothing: a small CLIP on generated images, then its adapter.

    The same command goes on where it stopped; under `torchrun` several processes share the backbone's steps.
    """
    import logging
    import os

    from calibrate.embedded.adapter import train_adapter
    from calibrate.embedded.run import pretrain_backbone
    from calibrate.embedded.trainer import PretrainConfig, fast_in_bfloat16
    from calibrate.tuning.training import Recipe
    from fbclip.artefacts.adapter import save_adapter
    from fbclip.backbone.weights import find_weights

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(threads)
    place = os.environ.get("LOCAL_RANK")
    if device == "cuda" and place is not None:
        device = f"cuda:{place}"
    if not adapter_only:
        mixed = fast_in_bfloat16(device)
        config = PretrainConfig(steps=steps, seed=seed, learning_rate=learning_rate, mixed=mixed)
        pretrain_backbone(
            cache=cache, out=out, config=config, images=pictures, device=device, machine=machine, base=base
        )
    if os.environ.get("RANK", "0") != "0":
        return  # the adapter is small enough for one process
    # Faster, it spoils the map, on other families and on its own.
    recipe = Recipe(epochs=adapter_epochs, seed=seed)
    weights = find_weights("embedded", out / "backbone.safetensors")
    adapter = train_adapter(weights, cache, adapter_pictures, recipe, 16, device, 20)
    save_adapter(adapter, out / "adapter")
    typer.echo(f"{out}: adapter {adapter.id[:12]}")
