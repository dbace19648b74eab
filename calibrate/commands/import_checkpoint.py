"""`calibrate import`: a released checkpoint -> an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml

from calibrate.commands.options import BackboneOption, TrustOption, WeightsOption


def import_checkpoint(
    checkpoint: Annotated[Path, typer.Argument(help="the authors' file, of FB-CLIP or a method it is compared with")],
    out: Annotated[Path, typer.Option(help="adapter directory to write")],
    backbone: BackboneOption = "ViT-L-14-336",
    weights: WeightsOption = None,
    product: Annotated[str | None, typer.Option(help="what CLIP-AD's prompts call the product")] = None,
    trust: TrustOption = False,
) -> None:
    """A released checkpoint in its authors' format -> an adapter with its prototypes, and the lines of agent.yaml.

    Known are those of FB-CLIP, AnomalyCLIP, AF-CLIP, FAPrompt and CLIP-AD's linear layers.
    """
    from calibrate.tuning.checkpoint_facts import checkpoint_facts
    from calibrate.tuning.parameters import import_adapter
    from fbclip.artefacts.adapter import save_adapter
    from fbclip.artefacts.peers import imported_peer
    from fbclip.backbone.weights import find_weights

    file = find_weights(backbone, weights).known(trust)
    adapter = imported_peer(checkpoint, file, product) or import_adapter(checkpoint, file)
    save_adapter(adapter, out)
    facts = checkpoint_facts(checkpoint, adapter.manifest.backbone.text_width)
    on_trust = ", whose weights were taken on trust" if adapter.manifest.weights_trusted else ""
    method = "" if adapter.manifest.peer is None else f" of method {adapter.manifest.method_name}"
    typer.echo(f"{out}: adapter {adapter.id[:12]}{method} for {backbone}{on_trust}")
    others = [name for name in facts.backbones if name != backbone][:3]
    also = f"; its shapes would also fit {', '.join(others)}" if others else ""
    typer.echo(f"backbone: prompts {facts.text_width} wide, as {backbone} has them{also}")
    if facts.data_set is None:
        typer.echo("data set: neither the file nor its name says what it was trained on; ask where you have it from")
    else:
        typer.echo(f"data set: by its name trained on {facts.data_set}; figures on that set would say nothing")
    model = {"backbone": backbone, **({} if weights is None else {"weights": str(weights)}), "adapter": str(out)}
    typer.echo("agent.yaml:")
    typer.echo(yaml.safe_dump({"model": model}, sort_keys=False).rstrip())
