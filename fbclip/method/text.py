"""Learned prompts and MSTFF: text tower -> prototypes (2,D). Section 2 of the method (paper 3.2).

Needed for tuning and for importing a checkpoint only; at run time the prototypes come with the adapter.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from open_clip import SimpleTokenizer
from open_clip.transformer import LayerNorm, QuickGELU, Transformer
from torch import Tensor, nn
from torch.nn import functional as F

from fbclip.backbone.config import BackboneConfig
from fbclip.backbone.tower import VISUAL_PREFIX, load_strictly
from fbclip.errors import WeightsError
from fbclip.method.config import TextConfig

_NOT_TEXT = ("logit_scale", "input_resolution", "context_length", "vocab_size")


class TextTower(nn.Module):
    """Frozen CLIP text transformer, run without a causal mask: the released weights were trained so."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.text_width)
        self.positional_embedding = nn.Parameter(torch.empty(config.context_length, config.text_width))
        self.transformer = Transformer(
            width=config.text_width,
            layers=config.text_layers,
            heads=config.text_heads,
            act_layer=QuickGELU if config.quick_gelu else nn.GELU,
        )
        self.ln_final = LayerNorm(config.text_width)
        self.text_projection = nn.Parameter(torch.empty(config.text_width, config.embed_dim))

    def forward(self, prompts: Tensor) -> Tensor:
        """Embedded prompts (P,77,d) -> token features (P,77,d) after the final norm."""
        out = self.transformer(prompts + self.positional_embedding, attn_mask=None)
        return torch.as_tensor(self.ln_final(out))


def load_text_tower(state: Mapping[str, Tensor], config: BackboneConfig) -> TextTower:
    """Frozen float32 text tower from OpenAI's key names; raises WeightsError when a tensor is missing or wrong.

    The embedded model keeps only the vocabulary rows its captions use (`token_embedding.rows` and `.values`);
    the others become NaN, so that a prompt with an unknown word is refused instead of scored.
    """
    with torch.device("meta"):
        tower = TextTower(config)
    own = {k: v for k, v in state.items() if not k.startswith(VISUAL_PREFIX) and k not in _NOT_TEXT}
    rows, values = own.pop("token_embedding.rows", None), own.pop("token_embedding.values", None)
    known = torch.arange(config.vocab_size)
    if rows is not None and values is not None:
        known = rows.long()
        table = torch.zeros(config.vocab_size, config.text_width)
        table[known] = values.float()
        own["token_embedding.weight"] = table
    load_strictly(tower, {k: v.float() for k, v in own.items()}, "text tower")
    tower.requires_grad_(False)
    unknown = torch.ones(config.vocab_size, dtype=torch.bool)
    unknown[known] = False
    tower.token_embedding.weight[unknown] = float("nan")
    return tower.eval()


def tokenize(config: TextConfig, context_length: int) -> Tensor:
    """[normal, abnormal] prompts as ids (2,77): one "X" for each learned vector, then the words."""
    filler = "X " * config.prompt_length
    ids = SimpleTokenizer()([filler + config.normal, filler + config.abnormal], context_length)
    return torch.as_tensor(ids)


class PromptFusion(nn.Module):
    """The learned part of the text side: two contexts and MSTFF. `ids` (2,77) are the tokenised prompts."""

    ids: Tensor

    def __init__(self, backbone: BackboneConfig, config: TextConfig, mstff: bool = True) -> None:
        """Without `mstff` the prototype is the EOT feature alone, and selector and MLP stay unused."""
        super().__init__()
        self.config = config
        self.mstff = mstff
        width = backbone.text_width
        self.context_normal = nn.Parameter(torch.randn(config.prompt_length, width) * 0.02)
        self.context_abnormal = nn.Parameter(torch.randn(config.prompt_length, width) * 0.02)
        self.selector = nn.Sequential(nn.Linear(width, width // 2), nn.ReLU(), nn.Linear(width // 2, 1))
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, backbone.embed_dim))
        self.register_buffer("ids", tokenize(config, backbone.context_length), persistent=False)

    def embed(self, tower: TextTower) -> Tensor:
        """Prompt embeddings (2,77,d): the learned vectors stand at positions 1..prompt_length."""
        embedded = tower.token_embedding(self.ids)
        context = torch.stack((self.context_normal, self.context_abnormal))
        after = 1 + self.config.prompt_length
        prompts = torch.cat((embedded[:, :1], context, embedded[:, after:]), dim=1)
        if not torch.isfinite(prompts).all():
            raise WeightsError("the text tower was stored without some of the words of the prompts")
        return prompts

    def forward(self, tower: TextTower) -> Tensor:
        """Prototypes (2,D), L2-normalised: [normal, abnormal]."""
        x = tower(self.embed(tower))
        eot = x[torch.arange(len(x)), self.ids.argmax(dim=-1)] @ tower.text_projection
        if not self.mstff:
            return F.normalize(eot, dim=-1)
        mean = x.mean(dim=1) @ tower.text_projection
        attention = self.selector(x).softmax(dim=1)  # (2,77,1)
        selected = self.mlp((attention * x).sum(dim=1))
        c = self.config
        return F.normalize(c.weight_global * mean + c.weight_attn * selected + c.weight_eot * eot, dim=-1)
