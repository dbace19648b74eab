"""The method as modules of plain tensors, one a graph: what exporters can follow. All call the code that torch runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fbclip.backbone.tower import Backbone
from fbclip.engines import graph_names as names
from fbclip.method.config import FBCLIPConfig, View
from fbclip.method.foreground import foreground_mask
from fbclip.method.maps import combined_matrix
from fbclip.method.model import AttendedView, Head
from fbclip.method.views import LayerViews, SemanticMix, layer_views


class Graph(nn.Module):
    """Named tensors in, named tensors out, by position as exporters want it."""

    takes: Sequence[str]
    gives: Sequence[str]


class BackboneGraph(Graph):
    """Normalised images (B,3,S,S) -> layers, and strides where the backbone looks through them."""

    def __init__(self, backbone: Backbone, layers: Sequence[int]) -> None:
        super().__init__()
        self.backbone = backbone
        self.layers = list(layers)
        self.takes = [names.IMAGES]
        self.gives = names.backbone_outputs(layers, backbone.features is not None)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        features = self.backbone.features
        strides = {} if features is None else features(images)
        found = self.backbone(images, self.layers, strides)
        return (*found, *(strides[pixels] for pixels in names.STRIDES if strides))


class ViewsGraph(Graph):
    """Raw tokens of the feature layers -> foreground masks, and what the views are made of. float32 always."""

    def __init__(self, method: FBCLIPConfig) -> None:
        super().__init__()
        self.method = method
        self.takes = [names.layer(number) for number in method.feature_layers]
        self.gives = names.views_outputs(method)

    def forward(self, *tokens: Tensor) -> tuple[Tensor, ...]:
        out: list[Tensor] = []
        previous: Tensor | None = None
        for layer in tokens:
            mask = foreground_mask(layer, previous, self.method.foreground)
            out.append(mask)
            for name, view in layer_views(layer, mask, self.method.active_views, self.method.view).views.items():
                if isinstance(view, SemanticMix):
                    out += [view.weights, view.sums]
                elif name != "identity":
                    out.append(view)
            previous = layer
        return tuple(out)


class AttentionGraph(Graph):
    """Raw tokens and what their views are made of -> attended views."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head
        self.takes = names.attention_inputs(head.config)
        self.gives = names.attended(head.config)

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        found = dict(zip(self.takes, given, strict=True))
        layers = [self._views(found, number) for number in self.head.config.feature_layers]
        return tuple(one.tokens for one in self.head.attend(layers))

    def _views(self, found: Mapping[str, Tensor], number: int) -> LayerViews:
        config = self.head.config
        tokens = found[names.layer(number)]
        views: dict[View, Tensor | SemanticMix] = {}
        for view in config.active_views:
            if view == "semantic":
                mix, sums = found[f"mix_{number}"], found[f"sums_{number}"]
                views[view] = SemanticMix(1 - config.view.semantic_mix, mix, sums)
            else:
                views[view] = tokens if view == "identity" else found[f"spatial_{number}"]
        return LayerViews(tokens, views)


class ScoreGraph(Graph):
    """Attended views, and what contrast adds to the patches -> margin (B,), grid (B,h,h), map (B,S,S). float32 always.

    The map is smoothed with the sigma that the adapter was tuned with.
    """

    matrix: Tensor
    prototypes: Tensor
    projection: Tensor

    def __init__(self, head: Head, prototypes: Tensor, projection: Tensor, grid: int) -> None:
        super().__init__()
        self.head = head
        self.register_buffer("prototypes", prototypes)
        self.register_buffer("projection", projection)
        score = head.config.score
        matrix = combined_matrix(grid, head.config.image_size, score.smoothing_sigma, score.smoothing_truncate, "cpu")
        self.register_buffer("matrix", matrix)
        self.takes = names.score_inputs(head.config)
        self.gives = [names.MARGIN, names.GRID, names.MAP]

    def forward(self, *given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        config = self.head.config
        places = [(k, view) for k in range(len(config.feature_layers)) for view in config.active_views]
        attended = [AttendedView(k, view, x) for (k, view), x in zip(places, given[: len(places)], strict=True)]
        out = self.head.compare(attended, self.prototypes, self.projection)
        grid = out.grid_margin
        if config.contrast.weight:
            grid = grid + given[-1]
        return out.image_margin, grid, self.matrix @ grid @ self.matrix.T


def head_graphs(head: Head, prototypes: Tensor, backbone: Backbone) -> dict[names.Part, Graph]:
    """The graphs of one adapter, by name."""
    made: dict[names.Part, Graph] = {
        "views": ViewsGraph(head.config),
        "attention": AttentionGraph(head),
        "score": ScoreGraph(head, prototypes, backbone.projection, backbone.grid),
    }
    return {part: made[part] for part in names.head_parts(head.config)}


@torch.inference_mode()
def examples(method: FBCLIPConfig, backbone: Backbone, head: Head, batch: int = 2) -> dict[str, Tensor]:
    """Tensors by name, of the shapes that the graphs of an adapter take and give."""
    shape = (batch, 3, backbone.image_size, backbone.image_size)
    features = backbone.features
    images = torch.linspace(-1, 1, shape[0] * shape[1] * shape[2] * shape[3]).reshape(shape)
    tokens = dict(zip(method.layers, backbone(images, method.layers, features and features(images)), strict=True))
    found = {names.IMAGES: images} | {names.layer(number): value for number, value in tokens.items()}
    found[names.GAIN] = torch.zeros(batch, backbone.grid, backbone.grid)
    for part in (ViewsGraph(method), AttentionGraph(head)) if method.modules.mvfbe else ():
        found |= dict(zip(part.gives, part(*(found[name] for name in part.takes)), strict=True))
    return found
