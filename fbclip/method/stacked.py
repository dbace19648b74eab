"""A speed-up of FB-Attention: all its input maps as one product, shared by the views of a layer. Section 4.

With μ and σ² of a token x, LN(g·x) = γ ⊙ (x−μ)·g/√(g²σ²+ε) + β: but for two numbers a token, everything before the
softmax is linear in x − μ. So the gate's hidden layer and q, k, v of both branches are one product of the centred
tokens, and a view that is a linear mix of tokens takes the same mix of their product.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from fbclip.method.config import View
from fbclip.method.views import LayerViews, SemanticMix


@dataclass(frozen=True, eq=False)
class StackedTokens:
    """Tokens x (B,N,C) as FB-Attention takes them.

    mean (B,N,1) over C; centred (B,N,C) is x − mean; product (B,N,P) is centred · weightᵀ of the stacked weights.
    """

    centred: Tensor
    mean: Tensor
    product: Tensor

    def mixed(self, mix: SemanticMix, sums: StackedTokens) -> StackedTokens:
        """What stacking the mixed tokens would give; `sums` are those of the mix, stacked."""
        return StackedTokens(
            mix.apply(self.centred, sums.centred),
            mix.apply(self.mean, sums.mean),
            mix.apply(self.product, sums.product),
        )


@dataclass(frozen=True, eq=False)
class StackedWeights:
    """Rows of W₁, then W_q, W_k and W_v times γ, of each the foreground's and the background's; made once a forward.

    weight (P,C) with P = C/2 + 6·inner, in the dtype of the products; hidden_sums (C/2,) are the row sums of W₁, which
    bring back the mean; offset (3,2,inner) is W·β.
    """

    weight: Tensor
    hidden_sums: Tensor
    offset: Tensor

    def stack(self, tokens: Tensor) -> StackedTokens:
        """(B,N,C) -> the same tokens with their product."""
        mean = tokens.mean(dim=-1, keepdim=True)
        centred = tokens - mean
        return StackedTokens(centred, mean, F.linear(centred.to(self.weight.dtype), self.weight))


class StackedLayer:
    """The views of one layer, stacked one at a time as they are asked for, so that no two wait in memory."""

    def __init__(self, layer: LayerViews, weights: StackedWeights) -> None:
        self._views = layer.views
        self._weights = weights
        self._tokens = layer.tokens
        self._identity = weights.stack(layer.tokens)

    def of(self, name: View) -> StackedTokens:
        """Plainly `weights.stack(layer.of(name))`.

        The semantic view is a mix of the layer's tokens and two sums, so a third of the products falls away.
        """
        view = self._views[name]
        if isinstance(view, SemanticMix):
            return self._identity.mixed(view, self._weights.stack(view.sums))
        return self._identity if view is self._tokens else self._weights.stack(view)
