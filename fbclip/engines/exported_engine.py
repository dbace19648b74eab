"""The engine of an export: its graphs in ONNX Runtime or OpenVINO, and in torch what no graph holds.

Outside of the graphs are the contrast of an image with itself, for which no graph has an exact operator, and the
imagenet features of a memory beside a backbone that does not look through them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fbclip.artefacts.adapter import Adapter
from fbclip.artefacts.compatibility import check_adapter
from fbclip.backbone.config import STEM, BackboneConfig, Precision, RuntimeName
from fbclip.engines import graph_names as names
from fbclip.engines.engine import Judgement, Seen
from fbclip.engines.export_manifest import ExportedAdapter, ExportManifest, read_export
from fbclip.engines.faults import named_faults
from fbclip.engines.graph_names import Part
from fbclip.engines.graph_session import GraphSession, GraphSettings, open_graph
from fbclip.engines.processor import inference_threads
from fbclip.errors import AdapterError, ConfigError, ExportError
from fbclip.features.imagenet import ImageNetFeatures, open_imagenet
from fbclip.images.raw_tiles import Tile, put_tiles
from fbclip.method.config import FBCLIPConfig
from fbclip.method.maps import smooth_map
from fbclip.method.model import contrast_gain
from fbclip.runtime import prepare_process

_CPU = torch.device("cpu")


class ExportedEngine:
    """An export that was read and checked. Graphs of an adapter are opened when it is asked for."""

    makes_tiles = False
    gives_on = _CPU

    def __init__(
        self, manifest: ExportManifest, folder: Path, settings: GraphSettings, adapters: Sequence[Adapter] = ()
    ) -> None:
        """Raises ConfigError for a runtime or device that is not here, ExportError and AdapterError."""
        self._manifest, self._folder, self._settings = manifest, folder, settings
        self.export = manifest.id
        self._backbone = self._open(manifest.graph, manifest.float_precision)
        self._imagenet: ImageNetFeatures | None = None
        self._heads: dict[str, _ExportedHead] = {}
        self._adapters: dict[str, Adapter] = {}
        self._add(adapters)
        prepare_process()

    @property
    def runtime(self) -> RuntimeName:
        return self._manifest.runtime

    @property
    def precision(self) -> Precision:
        return self._manifest.precision

    @property
    def device(self) -> torch.device:
        return self._settings.device

    @property
    def config(self) -> BackboneConfig:
        return self._manifest.backbone

    @property
    def backbone_sha256(self) -> str:
        return self._manifest.backbone_sha256

    @property
    def size(self) -> int:
        return self._manifest.image_size

    @property
    def adapters(self) -> Mapping[str, Adapter]:
        return self._adapters

    @property
    def methods(self) -> Mapping[str, FBCLIPConfig]:
        return {key: head.method for key, head in self._heads.items()}

    def with_adapters(self, adapters: Sequence[Adapter], alone: bool = False) -> ExportedEngine:
        more = object.__new__(ExportedEngine)
        more.__dict__.update(self.__dict__)
        more._heads, more._adapters = ({}, {}) if alone else (dict(self._heads), dict(self._adapters))
        more._add(adapters)
        return more

    def faults(self) -> AbstractContextManager[None]:
        # Its own failures are named where graphs run; beside them torch computes on the CPU.
        return named_faults(_CPU, lambda: True)

    def put(self, tiles: Sequence[Tile]) -> Tensor:
        return put_tiles(tiles, lambda tensor: tensor)

    def fetch(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        return list(tensors)

    def free(self) -> None:
        """The runtime keeps its own memory."""

    def remembering(self, adapter: str, images: Tensor, digests: Sequence[str]) -> Adapter:  # noqa: ARG002
        raise ConfigError(f"adapter {adapter[:12]}: an export has no few-shot form; use runtime: torch")

    def open_features(self) -> None:
        if not self._manifest.strides and self._imagenet is None:
            self._imagenet = open_imagenet()

    def check_layers(self, layers: Sequence[int]) -> None:
        missing = sorted(set(layers) - set(self._manifest.layers))
        if missing:
            raise ExportError(
                f"{self._folder}: the export gives no layer {missing[0]}, which a memory looks with; "
                "run `fbclip export` again with this memory as --memory"
            )

    def see(self, images: Tensor, layers: Sequence[int]) -> Seen:
        """All layers come out of one graph, so it gives those that it has."""
        self.check_layers(layers)
        strides: Mapping[int, Tensor] = {}
        if self._imagenet is not None:
            with torch.inference_mode():
                strides = self._imagenet(images.cpu())
            if not layers:
                return Seen({}, strides)
        own = self._manifest.strides
        found = self._backbone.run({names.IMAGES: images}, names.backbone_outputs(layers, own))
        if own:
            strides = {pixels: found[names.stride(pixels)] for pixels in names.STRIDES}
        return Seen({number: found[names.layer(number)] for number in layers}, strides)

    @torch.inference_mode()
    def judge(self, adapter: str, layers: Mapping[int, Tensor], sigma: float) -> Judgement:
        return self._heads[adapter].judge(layers, sigma, self.size)

    def judge_images(self, adapter: str, images: Tensor, sigma: float) -> Judgement:  # noqa: ARG002
        raise AdapterError(f"adapter {adapter[:12]} is not in the export {self._folder}")

    def _add(self, adapters: Iterable[Adapter]) -> None:
        there = {one.id: one for one in self._manifest.adapters}
        for adapter in adapters:
            if adapter.manifest.peer is not None:
                name = adapter.manifest.method_name
                raise AdapterError(f"adapter {adapter.id[:12]}: method {name} is not exported; use runtime: torch")
            check_adapter(adapter, self.config, self.backbone_sha256, self.size)
            if adapter.id not in there:
                raise AdapterError(
                    f"adapter {adapter.id[:12]} is not in the export {self._folder}; run `fbclip export` again with it "
                    "as --adapter"
                )
            if adapter.id not in self._heads:
                exported = there[adapter.id]
                graphs = {part: self._open(file, self._of(part)) for part, file in exported.graphs.items()}
                self._heads[adapter.id] = _ExportedHead(exported, graphs)
                self._adapters[adapter.id] = adapter

    def _of(self, part: Part) -> Precision:
        """Masks, views, background subtraction and margins are float32 always."""
        return self._manifest.float_precision if part == "attention" else "float32"

    def _open(self, file: str, precision: Precision) -> GraphSession:
        return open_graph(self.runtime, self._folder / file, precision, self._settings)


class _ExportedHead:
    def __init__(self, exported: ExportedAdapter, graphs: Mapping[Part, GraphSession]) -> None:
        self.method = exported.method
        self._graphs = graphs

    def judge(self, layers: Mapping[int, Tensor], sigma: float, size: int) -> Judgement:
        """Graph by graph; each takes by name what those before it gave."""
        method = self.method
        found = {names.layer(number): layers[number] for number in method.feature_layers}
        outputs = {"views": names.views_outputs(method), "attention": names.attended(method)}
        for part in names.head_parts(method)[:-1]:
            found |= self._graphs[part].run(found, outputs[part])
        masks = [found[name] for name in names.masks(method)]
        if method.contrast.weight:
            patches = layers[method.feature_layers[0]].shape[1] - 1
            found[names.GAIN] = contrast_gain(layers[STEM], patches, method.contrast)
        scored = self._graphs["score"].run(found, [names.MARGIN, names.GRID, names.MAP])
        margin, maps = scored[names.MARGIN], scored[names.MAP]
        if sigma != method.score.smoothing_sigma:
            maps = smooth_map(scored[names.GRID], size, sigma, method.score.smoothing_truncate)
        return Judgement(margin, maps, torch.cat(masks, dim=1) if masks else margin.new_empty((len(margin), 0)))


@dataclass(frozen=True)
class RunsOn:
    """Instead of torch: a runtime, the folder of an export for it, and the threads of one inference."""

    runtime: RuntimeName
    export: Path
    threads: int | None = None


def runs_on(runtime: RuntimeName, export: Path | None, threads: int | None = None) -> RunsOn | None:
    """None for torch; raises ConfigError for a runtime without an export, and for an export without its runtime."""
    if runtime == "torch":
        if export is not None:
            raise ConfigError(f"export {export}: torch runs none; say runtime onnxruntime or openvino with it")
        return None
    if export is None:
        raise ConfigError(f"runtime {runtime} needs an export: `fbclip export` makes one, name its folder as export")
    return RunsOn(runtime, export, threads)


def open_export(
    runs: RunsOn, adapters: Sequence[Adapter], device: torch.device, precision: Precision
) -> ExportedEngine:
    """Raises ExportError naming the folder and the way out, and as ExportedEngine does."""
    manifest = read_export(runs.export)
    if manifest.runtime != runs.runtime:
        raise ExportError(f"{runs.export}: is for {manifest.runtime}, asked is {runs.runtime}; say the same in both")
    if manifest.precision != precision:
        raise ExportError(
            f"{runs.export}: computes in {manifest.precision}, asked is precision {precision}; say the same in both"
        )
    return ExportedEngine(manifest, runs.export, GraphSettings(device, inference_threads(runs.threads)), adapters)
