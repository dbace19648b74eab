"""Which methods learn, how their authors train them, and their learners."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch

from calibrate.tuning import afclip_learner, anomalyclip_learner, faprompt_learner, fbclip_learner
from calibrate.tuning.afclip_learner import AfClipLearner
from calibrate.tuning.anomalyclip_learner import AnomalyClipLearner
from calibrate.tuning.faprompt_learner import FaPromptLearner
from calibrate.tuning.fbclip_learner import FbClipLearner
from calibrate.tuning.learner import Learner, Published
from calibrate.tuning.parameters import start_from
from calibrate.tuning.peer_learner import start_peer
from fbclip.artefacts.adapter import Adapter
from fbclip.backbone.tower import Backbone
from fbclip.errors import ConfigError
from fbclip.method.config import FBCLIPConfig
from fbclip.method.text import TextTower
from fbclip.peers.afclip import AfLearned
from fbclip.peers.anomalyclip import AnomalyPrompts
from fbclip.peers.config import FBCLIP, NAMES, AfClipConfig, AnomalyClipConfig, FaPromptConfig, PeerConfig
from fbclip.peers.faprompt import FinePrompts

LEARNS: Mapping[str, Published] = {
    FBCLIP: fbclip_learner.PUBLISHED,
    "anomalyclip": anomalyclip_learner.PUBLISHED,
    "afclip": afclip_learner.PUBLISHED,
    "faprompt": faprompt_learner.PUBLISHED,
}
"""By the method's name, how it is trained by its authors."""
_NOT_TUNED = "learns nothing; it needs no adapter"
M = TypeVar("M", bound=torch.nn.Module)


def check_learns(method: str) -> None:
    """Raises ConfigError for a method that cannot be tuned."""
    if method in LEARNS:
        return
    if method not in NAMES:
        raise ConfigError(f"--method {method}: must be one of {', '.join(LEARNS)}")
    why = "is tuned by its authors' code alone; `calibrate import` its checkpoint" if method == "clipad" else _NOT_TUNED
    raise ConfigError(f"--method {method}: {why}")


def learner_for(
    backbone: Backbone, tower: TextTower, method: FBCLIPConfig | PeerConfig, start: Adapter | None, seed: int
) -> Learner:
    """With the parameters of `start`, or fresh ones from the seed. Raises ConfigError, AdapterError."""
    torch.manual_seed(seed)
    shape = backbone.config
    if isinstance(method, FBCLIPConfig):
        return FbClipLearner(backbone, tower, method, None if start is None else start_from(start, method))
    if isinstance(method, AnomalyClipConfig):
        prompts = AnomalyPrompts(shape, method)
        return AnomalyClipLearner(backbone, tower, method, _started(prompts, start, method))
    if isinstance(method, AfClipConfig):
        return AfClipLearner(backbone, tower, method, _started(AfLearned(shape, method), start, method))
    if isinstance(method, FaPromptConfig):
        return FaPromptLearner(backbone, tower, method, _started(FinePrompts(shape, method), start, method))
    raise ConfigError(f"--method {method.name}: {_NOT_TUNED}")


def _started(module: M, start: Adapter | None, config: PeerConfig) -> M:
    return module if start is None else start_peer(module, start, config)
