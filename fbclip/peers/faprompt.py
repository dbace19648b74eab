"""FAPrompt: ten learned kinds of defect beside one normal prompt, adapted to every image by its own patches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fbclip.backbone.config import BackboneConfig
from fbclip.backbone.tower import Backbone
from fbclip.errors import ConfigError
from fbclip.method.model import Record
from fbclip.method.text import TextTower
from fbclip.peers.anomalyclip import DualFeatures
from fbclip.peers.config import FaPromptConfig
from fbclip.peers.output import Peer, PeerOutput, logit_of, mean_margin, square, two_way, unrecorded
from fbclip.peers.text import encode, token_ids, with_contexts

_INIT = 0.02


class PriorNet(nn.Module):
    """Patches of an image -> what is added to its prompts."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(inputs, hidden)
        self.linear2 = nn.Linear(hidden, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B,n,D) -> (B,d)"""
        return torch.as_tensor(self.linear2(torch.relu(self.linear1(tokens.flatten(1)))))


class FinePrompts(nn.Module):
    """What is learned. Names are those of the released checkpoint: `ctx_pos` is the normal context."""

    def __init__(self, backbone: BackboneConfig, config: FaPromptConfig) -> None:
        super().__init__()
        self.config, width = config, backbone.text_width
        normal, abnormal = config.normal_tokens, config.abnormal_tokens
        self.ctx_pos = nn.Parameter(torch.randn(1, 1, normal, width) * _INIT)
        self.ctx_neg = nn.Parameter(torch.randn(1, config.abnormal_prompts, abnormal, width) * _INIT)
        self.patch_meta_net = PriorNet(config.prior_tokens * backbone.embed_dim, config.prior_width, width)
        deep = (torch.randn(config.deep_prompt_length, width) * _INIT for _ in range(config.deep_prompts))
        self.compound_prompts_text = nn.ParameterList(map(nn.Parameter, deep))

    def normal(self, tower: TextTower) -> Tensor:
        """(1,D), not normalised."""
        ids = token_ids(["X " * self.config.normal_tokens + "object."], tower)
        return self._encoded(ids, self.ctx_pos[0], tower)

    def abnormal(self, tower: TextTower, bias: Tensor | None = None) -> Tensor:
        """(B,P,D) with the bias (B,d) of B images, without one (1,P,D); not normalised."""
        count = self.config.normal_tokens + self.config.abnormal_tokens
        own = self.ctx_neg if bias is None else self.ctx_neg + bias[:, None, None, :]  # (B,P,t,d)
        shared = self.ctx_pos.expand(*own.shape[:2], -1, -1)
        contexts = torch.cat((shared, own), dim=2)
        ids = token_ids(["X " * count + "damaged object."], tower).expand(own.shape[0] * own.shape[1], -1)
        return self._encoded(ids, contexts.flatten(0, 1), tower).reshape(*own.shape[:2], -1)

    def _encoded(self, ids: Tensor, contexts: Tensor, tower: TextTower) -> Tensor:
        prompts = with_contexts(ids, contexts, tower)
        return encode(prompts, ids.argmax(dim=-1), tower, [*self.compound_prompts_text])


def prototypes(normal: Tensor, abnormal: Tensor) -> Tensor:
    """(1,D) and (B,P,D), raw -> (B,2,D) [normal, mean of the abnormal], normalised."""
    both = torch.stack((normal.expand(len(abnormal), -1), abnormal.mean(dim=1)), dim=1)
    return F.normalize(both, dim=-1)


@dataclass(frozen=True, eq=False)
class FineMargins:
    """static and adapted: grids (B,h,h); cls: (B,); text of the static prompts (1,P,D), raw; bias (B,d)."""

    static: Tensor
    adapted: Tensor
    cls: Tensor
    abnormal: Tensor
    bias: Tensor

    @property
    def score(self) -> Tensor:
        """(B,) float64: half the class token's probability, half what the maps' highest ones say."""
        highest = (2 * _highest(self.static) + _highest(self.adapted)) / 3
        return (torch.sigmoid(self.cls.double()) + highest) / 2


class FaPrompt(Peer):
    """Runs the text tower for every image, so it holds it."""

    def __init__(self, backbone: Backbone, config: FaPromptConfig, prompts: FinePrompts, tower: TextTower) -> None:
        super().__init__()
        if backbone.grid**2 < config.prior_tokens:
            raise ConfigError(f"faprompt: {config.prior_tokens} patches are asked for, {backbone.grid**2} there are")
        self.config, self.prompts, self.tower = config, prompts, tower
        self.features = DualFeatures(backbone, config.dual_blocks, [backbone.config.layers])
        # They depend on no image; computed when they are first needed, and not stored.
        self._static: tuple[Tensor, Tensor] | None = None

    def forward(self, images: Tensor, record: Record | None = None) -> PeerOutput:
        record = record or unrecorded
        if self._static is None:
            self._static = self.prompts.normal(self.tower), self.prompts.abnormal(self.tower)
        image, patches = self.features(images)
        found = self.margins(image, next(iter(patches.values())), *self._static, record)
        record("static.max", _highest(found.static))
        record("adapted.max", _highest(found.adapted))
        record("score_cls", torch.sigmoid(found.cls.double()))
        return PeerOutput(logit_of(found.score), mean_margin([found.static, found.adapted]))

    def margins(
        self, image: Tensor, patches: Tensor, normal: Tensor, abnormal: Tensor, record: Record = unrecorded
    ) -> FineMargins:
        """Image embedding (B,D), patches (B,1+L,D), static prompts (1,D) and (1,P,D)."""
        config = self.config
        record("image_embedding", image)
        record("patch_embeddings", patches)
        record("text.normal", normal)
        record("text.abnormal", abnormal[0])
        text = prototypes(normal, abnormal)[0]
        record("text.features", text)
        static = two_way(patches[:, 1:], text, config.temperature)
        record("static.map_grid", torch.sigmoid(square(static)))
        record("paper.top_places", static.topk(config.prior_tokens, dim=1).indices)
        # The paper takes the most abnormal patches; the released code always takes the first ones.
        first = F.normalize(patches[:, 1 : 1 + config.prior_tokens], dim=-1)
        record("prior.tokens", first)
        bias = self.prompts.patch_meta_net(first)
        record("prior.bias", bias)
        adapted_text = prototypes(normal, self.prompts.abnormal(self.tower, bias))
        record("adapted.text.features", adapted_text)
        adapted = two_way(patches[:, 1:], adapted_text, config.temperature)
        record("adapted.map_grid", torch.sigmoid(square(adapted)))
        cls = two_way(image[:, None], adapted_text, config.temperature)[:, 0]
        return FineMargins(square(static), square(adapted), cls, abnormal, bias)


def _highest(grid: Tensor) -> Tensor:
    """(B,) float64: the largest probability of a grid of margins."""
    return torch.sigmoid(grid.flatten(1).amax(dim=1).double())
