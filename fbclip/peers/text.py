"""Prompts through CLIP's text tower as it was trained: with the causal mask, unlike FB-CLIP."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from open_clip import SimpleTokenizer
from torch import Tensor

from fbclip.errors import WeightsError
from fbclip.method.text import TextTower

_AT_ONCE = 64


def token_ids(prompts: Sequence[str], tower: TextTower) -> Tensor:
    """(P,77) int64 ids of CLIP's tokenizer, padded with 0."""
    length = tower.positional_embedding.shape[0]
    return torch.as_tensor(_tokenizer()(list(prompts), length)).to(tower.positional_embedding.device)


@lru_cache(maxsize=1)
def _tokenizer() -> SimpleTokenizer:
    """It reads its whole vocabulary when it is made, and FAPrompt needs it for every image."""
    return SimpleTokenizer()


def embedded(ids: Tensor, tower: TextTower) -> Tensor:
    """Ids (P,77) -> word embeddings (P,77,d); raises WeightsError for a word that the tower was stored without."""
    found = torch.as_tensor(tower.token_embedding(ids))
    if not torch.isfinite(found).all():
        raise WeightsError(
            "the text tower was stored without some of the words of this method's prompts; use a whole CLIP as backbone"
        )
    return found


def encode(prompts: Tensor, end: Tensor, tower: TextTower, deep: Sequence[Tensor] = ()) -> Tensor:
    """Embedded prompts (P,77,d), the place (P,) of their end token -> embeddings (P,D), not normalised.

    deep: (t,d) each; before the second, third, … block they replace what stands at places 1 to t. The released code
    rounds them to float16 first, and gradients pass through that.
    """
    x = prompts + tower.positional_embedding
    length = x.shape[1]
    mask = torch.full((length, length), float("-inf"), device=x.device, dtype=x.dtype).triu(1)
    for number, block in enumerate(tower.transformer.resblocks):
        if 1 <= number <= len(deep):
            learned = deep[number - 1].expand(len(x), -1, -1).half().to(x.dtype)
            x = torch.cat((x[:, :1], learned, x[:, 1 + learned.shape[1] :]), dim=1)
        x = block(x, attn_mask=mask)
    ends = tower.ln_final(x)[torch.arange(len(x), device=x.device), end]
    return torch.as_tensor(ends @ tower.text_projection)


@torch.no_grad()
def encode_words(prompts: Sequence[str], tower: TextTower) -> Tensor:
    """Plain prompts -> embeddings (P,D), not normalised."""
    ids = token_ids(prompts, tower)
    parts = [encode(embedded(part, tower), part.argmax(dim=-1), tower) for part in torch.split(ids, _AT_ONCE)]
    return torch.cat(parts)


def with_contexts(ids: Tensor, contexts: Tensor, tower: TextTower) -> Tensor:
    """Ids (P,77) and learned vectors (P,t,d) -> embedded prompts (P,77,d), the vectors at places 1 to t."""
    words = embedded(ids, tower)
    return torch.cat((words[:, :1], contexts, words[:, 1 + contexts.shape[1] :]), dim=1)
