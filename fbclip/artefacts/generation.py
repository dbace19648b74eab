"""Which of the embedded models of the package: the one that a user's files were made with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from fbclip.artefacts.adapter import stored_backbone
from fbclip.artefacts.profile_file import load_profile
from fbclip.backbone.config import EMBEDDED
from fbclip.backbone.weights import EMBEDDED_MODELS, EmbeddedModel, WeightsFile, embedded_weights, find_weights
from fbclip.errors import FbclipError
from fbclip.memory.bank import stored_network


def embedded_model(
    adapters: Sequence[Path] = (), memories: Sequence[Path] = (), profiles: Sequence[Path] = ()
) -> EmbeddedModel:
    """The newest, or an earlier one where the files name that and none of them the newest.

    So lines that were set up with an earlier model go on with it. A file that cannot be read says nothing here;
    whoever opens it reports it.
    """
    named = {
        *_readable(stored_backbone, adapters),
        *_readable(stored_network, memories),
        *_readable(lambda path: load_profile(path).profile.backbone_sha256, profiles),
    }
    return next((model for model in EMBEDDED_MODELS if model.sha256 in named), EMBEDDED_MODELS[0])


def weights_for(backbone: str, local: Path | None, adapter: Path | None) -> WeightsFile:
    """What `find_weights` finds; of the embedded models the one that `adapter` was tuned on. Raises as it does."""
    if backbone == EMBEDDED.name and local is None and adapter is not None:
        return embedded_weights(embedded_model([adapter]))
    return find_weights(backbone, local)


def _readable(digest: Callable[[Path], str], paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        try:
            yield digest(path)
        except FbclipError:
            continue
