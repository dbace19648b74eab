"""How unlike the rest of its own image each patch is, by the tokens of the stem: no part of the published method.

The squared Mahalanobis distance of a token from all of its image is the detector of Reed and Yu ("Adaptive
multiple-band CFAR detection of an optical pattern with unknown spectral distribution", 1990). Prompts describe
defects; this measures what is rare in one image, which needs no training.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fbclip.method.config import ContrastConfig

_VARIANCE_FLOOR = 1e-6
_LENGTH_FLOOR = 1e-8


def contrast_logits(stem: Tensor, config: ContrastConfig) -> Tensor:
    """Stem tokens (B,L,F) -> what the patches' margins gain, float32 (B,L).

    It is the natural logarithm of a patch's distance, less the mean over the image, times the weight. All of an
    image is NaN where one of its tokens is not finite. Unlike the whitening of a memory, which is fitted once to many
    images, this is made anew for each, so all are factored at once, on their device.
    """
    rest = stem.float() - stem.float().mean(dim=1, keepdim=True)
    covariance = rest.mT @ rest / rest.shape[1]
    variance = covariance.diagonal(dim1=1, dim2=2)
    # A view of the matrices: what is added here is added there. In a blank image there is no variance to share.
    variance += (config.floor * variance.mean(dim=1, keepdim=True)).clamp_min(_VARIANCE_FLOOR)
    factor = torch.linalg.cholesky_ex(covariance).L
    white = torch.linalg.solve_triangular(factor, rest.mT, upper=False)  # (B,F,L)
    distance = white.square().mean(dim=1).clamp_min(_LENGTH_FLOOR).log() / 2
    return torch.mul(distance - distance.mean(dim=1, keepdim=True), config.weight)
