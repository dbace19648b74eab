"""A backbone's published weights into a folder: each address in turn, never a file whose sha256 is not known."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from fbclip.backbone.download import HttpLimits, Progress, download, stated_sha256
from fbclip.backbone.sidecar import has_digest, write_digest
from fbclip.backbone.sources import WeightsSource
from fbclip.errors import WeightsError
from fbclip.files import file_sha256

Tried = Callable[[str], None]


def weights_cache() -> Path:
    """The folder of fetched weights, for this account only: `$XDG_CACHE_HOME/fbclip/weights`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fbclip" / "weights"


def fetch(
    sources: Sequence[WeightsSource],
    folder: Path,
    trust: bool = False,
    progress: Progress = lambda *_: None,
    tried: Tried = lambda _: None,
    limits: HttpLimits = HttpLimits(),
) -> Path:
    """The first of `sources` that can be had, with its checksum beside it; one that is there already is only checked.

    `trust`: also a file whose digest nobody states, which is noted beside it. `tried` hears what went wrong with each
    address. Raises WeightsError with every address, the file's name and where to put it.
    """
    for source in sources:
        path = folder / source.file_name
        if path.is_file() and has_digest(path, source.sha256):
            return path
    # A folder that was asked for may serve other accounts too.
    folder.mkdir(parents=True, exist_ok=True, mode=0o700 if folder == weights_cache() else 0o777)
    problems = []
    for source in sources:
        try:
            return _fetch_one(source, folder, trust, progress, limits)
        except WeightsError as error:
            problem = f"{urlsplit(source.url).hostname}: {error}"
            tried(problem)
            problems.append(problem)
    raise WeightsError(f"the weights could not be fetched ({'; '.join(problems)}). {by_hand(sources, folder)}")


def by_hand(sources: Sequence[WeightsSource], folder: Path) -> str:
    """What to do on a box that reaches none of the addresses."""
    ways = " or ".join(
        f"{s.url} as {s.file_name}" + ("" if s.sha256 is None else f" (sha256 {s.sha256})") for s in sources
    )
    return f"Elsewhere, get {ways}; put the file into {folder}, or name it as model.weights or --weights"


def _fetch_one(source: WeightsSource, folder: Path, trust: bool, progress: Progress, limits: HttpLimits) -> Path:
    expected, path = source.sha256 or stated_sha256(source.url, limits), folder / source.file_name
    if expected is None and not trust:
        raise WeightsError("states no sha256 for the file; --trust takes it as it is")
    if expected is None or not (path.is_file() and file_sha256(path) == expected):
        found = download(source.url, path, expected, progress, limits)
    else:
        found = expected
    write_digest(path, found, trusted=expected is None)
    return path
