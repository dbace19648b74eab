"""The method as it is used with a backbone."""

from __future__ import annotations

from fbclip.backbone.config import EMBEDDED, BackboneConfig
from fbclip.errors import ConfigError
from fbclip.method.config import EMBEDDED_METHOD, FBCLIPConfig

PAPER_SIZE = 518


def method_for(backbone: BackboneConfig, size: int | None = None) -> FBCLIPConfig:
    """The method as it is used with `backbone`, at side `size` where one is given.

    The paper's five layers of 24 are the first block and each quarter of the depth, at 518 px; towers of other
    depth and patch size are read at the same shares of theirs, at the multiple of their patch nearest to 518.
    """
    if backbone.name == EMBEDDED.name:
        method = EMBEDDED_METHOD
    else:
        quarters = [max(1, round(backbone.layers * q / 4)) for q in range(1, 5)]
        layers = tuple(sorted({1, *quarters}))
        side = round(PAPER_SIZE / backbone.patch_size) * backbone.patch_size
        method = FBCLIPConfig(image_size=side, feature_layers=layers)
    if size is None:
        return method
    if size % backbone.patch_size or size < backbone.patch_size:
        raise ConfigError(f"size {size} is not a multiple of the patch size {backbone.patch_size} of {backbone.name}")
    return method.model_copy(update={"image_size": size})
