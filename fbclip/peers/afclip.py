"""AF-CLIP: one learned adapter over tokens averaged over neighbourhoods; with a few normal images a memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fbclip.backbone.config import BackboneConfig
from fbclip.backbone.tower import Backbone
from fbclip.method.model import Record
from fbclip.method.text import TextTower
from fbclip.peers.config import AfClipConfig
from fbclip.peers.memory import half_cosine_distance
from fbclip.peers.output import Peer, PeerOutput, logit_of, square, two_way, unrecorded
from fbclip.peers.text import embedded, encode, token_ids
from fbclip.peers.vision import embed

_INIT = 0.01


class StateAdapter(nn.Module):
    """LayerNorm and self-attention over all tokens, without a residual: (B,N,C) -> (B,N,C)."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_width
        self.norm = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_k = nn.Linear(width, inner, bias=False)
        self.to_v = nn.Linear(width, inner, bias=False)
        self.to_out = nn.Linear(inner, width)

    def forward(self, tokens: Tensor) -> Tensor:
        b, n, _ = tokens.shape
        x = self.norm(tokens)
        q, k, v = (to(x).view(b, n, self.heads, -1).transpose(1, 2) for to in (self.to_q, self.to_k, self.to_v))
        out = F.scaled_dot_product_attention(q, k, v)
        return torch.as_tensor(self.to_out(out.transpose(1, 2).reshape(b, n, -1)))


class StatePrompt(nn.Module):
    """The learned vectors that stand before the start token of both prompts."""

    def __init__(self, backbone: BackboneConfig, config: AfClipConfig) -> None:
        super().__init__()
        self.state_prompt_embedding = nn.Parameter(torch.randn(1, config.prompt_length, backbone.text_width) * _INIT)

    def forward(self, tower: TextTower) -> Tensor:
        """Text (2,D) [normal, abnormal], normalised."""
        ids = token_ids(["without defect.", "with defect."], tower)
        words, learned = embedded(ids, tower), self.state_prompt_embedding
        prompts = torch.cat((learned.expand(len(ids), -1, -1), words), dim=1)[:, : ids.shape[1]]
        return F.normalize(encode(prompts, learned.shape[1] + ids.argmax(dim=-1), tower), dim=-1)


class AfLearned(nn.Module):
    """All that is learned."""

    def __init__(self, backbone: BackboneConfig, config: AfClipConfig) -> None:
        super().__init__()
        self.prompt = StatePrompt(backbone, config)
        self.adapter = StateAdapter(backbone.width, config.adapter_heads, config.adapter_head_width)


def aggregated(tokens: Tensor, side: int, sigma: float) -> Tensor:
    """Tokens (B,N,C): each patch the Gaussian-weighted sum of its side×side neighbours, CLS as it is.

    The weights sum to 1 over a whole window and are not made up for at the border, where the sum fades.
    """
    if side == 1:
        return tokens
    offsets = torch.arange(side, device=tokens.device, dtype=torch.float64) - side // 2
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = (weights / weights.sum()).to(tokens.dtype)
    width = tokens.shape[-1]
    grid = square(tokens[:, 1:].transpose(1, 2).flatten(0, 1)).unsqueeze(1)  # (B·C,1,h,h)
    grid = F.conv2d(grid, kernel.view(1, 1, side, 1), padding=(side // 2, 0))
    grid = F.conv2d(grid, kernel.view(1, 1, 1, side), padding=(0, side // 2))
    patches = grid.reshape(len(tokens), width, -1).transpose(1, 2)
    return torch.cat((tokens[:, :1], patches), dim=1)


def neighbourhoods(
    tokens: Mapping[int, Tensor], layers: tuple[int, ...], config: AfClipConfig
) -> Iterator[tuple[str, Tensor]]:
    """By layer and size of the neighbourhood, `layer{l}.aggregated{r}`: tokens (B,N,C)."""
    for layer in layers:
        for side in config.neighbourhoods:
            yield f"layer{layer}.aggregated{side}", aggregated(tokens[layer], side, config.aggregation_sigma)


class AfClip(Peer):
    """`text` (2,D), from `StatePrompt`; `banks`: what `remember` made of normal images."""

    def __init__(
        self,
        backbone: Backbone,
        config: AfClipConfig,
        text: Tensor,
        adapter: StateAdapter,
        banks: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.config, self.backbone, self.adapter = config, backbone, adapter
        self.register_buffer("text", text)
        self._has_banks = bool(banks)
        for name, rows in (banks or {}).items():
            self.register_buffer(_buffer(name), rows)

    def tokens(self, images: Tensor) -> dict[int, Tensor]:
        """Raw tokens (B,N,C) of every layer that is looked at."""
        layers = sorted({*self.config.feature_layers, *self.config.memory_layers})
        return dict(zip(layers, self.backbone(images, layers), strict=True))

    def remember(self, references: Tensor) -> dict[str, Tensor]:
        """Normal images (K,3,S,S) -> bank name -> normalised patches (K·L,C): all at once, a bank is not added to."""
        found = neighbourhoods(self.tokens(references), self.config.memory_layers, self.config)
        return {name: F.normalize(tokens[:, 1:], dim=-1).flatten(0, 1) for name, tokens in found}

    def projected(self, tokens: Mapping[int, Tensor], record: Record | None = None) -> list[Tensor]:
        """The (B,N,D) embeddings of every layer and neighbourhood, not normalised."""
        record, out = record or unrecorded, []
        for name, one in neighbourhoods(tokens, self.config.feature_layers, self.config):
            record(name, one)
            out.append(embed(self.backbone, self.adapter(one)))
            record(name.replace("aggregated", "projected"), out[-1])
        return out

    def margins(self, projected: list[Tensor], text: Tensor) -> Tensor:
        """(B,N): summed over the inputs, so that the temperature is that of one of them."""
        return torch.stack([two_way(p, text, self.config.temperature) for p in projected]).sum(dim=0)

    def forward(self, images: Tensor, record: Record | None = None) -> PeerOutput:
        record = record or unrecorded
        tokens = self.tokens(images)
        margins = self.margins(self.projected(tokens, record), self.get_buffer("text"))
        image, grid = margins[:, 0], square(margins[:, 1:])
        if not self._has_banks:
            return PeerOutput(image, grid)
        memory = square(self._memory(tokens))
        number = memory.flatten(1).amax(dim=1)
        record("memory.map_grid", memory.unsqueeze(1))
        record("memory.score", number)
        alpha = self.config.alpha
        few_image, few_grid = number + alpha * torch.sigmoid(image), memory + alpha * torch.sigmoid(grid)
        record("few.score", few_image)
        record("few.map_grid", few_grid.unsqueeze(1))
        return PeerOutput(logit_of(few_image / (1 + alpha)), logit_of(few_grid / (1 + alpha)))

    def _memory(self, tokens: Mapping[int, Tensor]) -> Tensor:
        """(B,L) in 0..1: the mean distance over layers and neighbourhoods."""
        found = neighbourhoods(tokens, self.config.memory_layers, self.config)
        return torch.stack(
            [half_cosine_distance(one[:, 1:], self.get_buffer(_buffer(name))) for name, one in found]
        ).mean(dim=0)


def _buffer(bank: str) -> str:
    return f"bank_{bank.replace('.', '_')}"
