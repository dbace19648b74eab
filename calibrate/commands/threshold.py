"""`calibrate threshold`: good pictures of a line -> its profile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from calibrate.bounds import supported_alpha
from calibrate.commands.options import (
    AdapterOption,
    BackboneOption,
    DeviceOption,
    IgnoreMaskOption,
    JsonOption,
    OverlapOption,
    PrecisionOption,
    RoiOption,
    TilesOption,
    UnitFromOption,
    WeightsOption,
    check_line_name,
    parse_framing,
)
from fbclip.files import file_sha256, write_atomically
from fbclip.profile import IgnoreMask


def threshold(
    data: Annotated[Path, typer.Argument(help="folder of good pictures, or one with good/ or train/good/ inside")],
    line: Annotated[str, typer.Option(help="name of the line in agent.yaml")],
    out: Annotated[Path, typer.Option(help="profile to write, *.yaml")],
    false_alarm: Annotated[float, typer.Option(help="largest share of good units that may alarm")] = 0.01,
    confidence: Annotated[float, typer.Option(help="probability that this holds")] = 0.95,
    uncertain: Annotated[
        float | None, typer.Option(help="share of good units that may be uncertain; default 5 x false-alarm")
    ] = None,
    unit_from: UnitFromOption = None,
    roi: RoiOption = None,
    tiles: TilesOption = None,
    overlap: OverlapOption = 0.2,
    ignore_mask: IgnoreMaskOption = None,
    min_area: Annotated[int | None, typer.Option(help="smallest region in map pixels", min=1)] = None,
    pixel_only: Annotated[bool, typer.Option(help="judge by the map alone")] = False,
    best_effort: Annotated[bool, typer.Option(help="write a profile without a guarantee if need be")] = False,
    adapter: AdapterOption = None,
    backbone: BackboneOption = "embedded",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "float32",
    as_json: JsonOption = False,
) -> None:
    """Good pictures -> a profile whose false-alarm rate is bounded; refused when they are too few."""
    from calibrate.line_profile import Request, make_profile
    from calibrate.pictures import read_good
    from calibrate.thresholds import Wish
    from fbclip.detector import open_detector
    from fbclip.profile import save_profile

    check_line_name(line)
    wish = Wish(false_alarm, confidence, min(0.5, 5 * false_alarm) if uncertain is None else uncertain)
    framing = parse_framing(roi, tiles, overlap, ignore_mask)
    kept = None if ignore_mask is None else _mask_beside(out, ignore_mask)
    request = Request(line, data, wish, unit_from, framing, kept, min_area, pixel_only, best_effort)
    total = len(read_good(data, unit_from))
    detector = open_detector(backbone, weights, () if adapter is None else (adapter,), device, precision)
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("judging good pictures", total=total)
        profile = make_profile(detector, next(iter(detector.smoothing)), request, lambda n: progress.advance(task, n))
    if ignore_mask is not None and kept is not None:
        write_atomically(out.parent / kept.file, ignore_mask.read_bytes())
    save_profile(profile, out)
    c = profile.calibration
    if as_json:
        typer.echo(json.dumps({"profile": str(out), "id": profile.id, **profile.model_dump(mode="json")}))
        return
    typer.echo(
        f"{out}: threshold {profile.threshold:.4f} from {c.n_good} good units ({c.n_constants} more set the scale)"
    )
    if c.guarantee is not None:
        typer.echo(
            f"guarantee: with {confidence:.0%} confidence at most {c.guarantee.false_alarm_rate:.2%} "
            f"of good units alarm ({c.exceedances} of {c.n_good} lie above the threshold)"
        )
    else:
        typer.echo(
            f"guarantee: none. {c.n_good} good units can only show that at most "
            f"{supported_alpha(c.n_good, confidence):.1%} alarm, with {confidence:.0%} confidence"
        )


def _mask_beside(profile: Path, mask: Path) -> IgnoreMask:
    """A profile and its mask travel together, so the mask is copied beside it under the profile's name."""
    return IgnoreMask(file=f"{profile.stem}.ignore{mask.suffix.lower()}", sha256=file_sha256(mask))
