"""Exported graphs compute what torch computes; what does not belong to them is refused, what breaks them is named."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch

from fbclip.backbone.config import EMBEDDED
from fbclip.detector import Detector, Job, open_detector
from fbclip.engines.export_manifest import FILE, read_export
from fbclip.engines.exported_engine import RunsOn, open_export, runs_on
from fbclip.engines.graph_session import GraphSettings, OnnxGraph, open_graph, runs_on_cuda, runtime_module
from fbclip.errors import AdapterError, ConfigError, ExportError, InferenceError
from fbclip.memory.features import MemoryConfig
from tests.factories.exports import exact_detector, exported_adapters
from tests.factories.models import tiny_adapter, tiny_fusion, tiny_memory

FORMATS = pytest.mark.parametrize("format", ["onnx", "openvino"])
CPU = torch.device("cpu")
RUNTIME = {"onnx": "onnxruntime", "openvino": "openvino"}


@FORMATS
@pytest.mark.parametrize("count", [1, 5])
def test_an_export_predicts_as_torch_at_every_batch_size(engines, format, count):
    memory = tiny_memory(layers=(2,))
    exported = Detector(engines[format], [memory])
    exact = exact_detector([memory], len(exported.adapters))
    torch.manual_seed(3)
    # The sigma that an adapter was tuned with is in its graph, any other is not.
    jobs = [
        Job(
            torch.randn(1, 3, 32, 32),
            exact.adapters[i % len(exact.adapters)],
            (4.0, 1.5)[i % 2],
            None,
            memory.id,
            tiny_fusion(),
        )
        for i in range(count)
    ]
    for want, got in zip(exact.infer(jobs), exported.infer(jobs), strict=True):
        assert abs(want.margin - got.margin) <= 1e-4
        assert np.abs(want.map - got.map).max() <= 1e-4
    for (_, want), (_, got) in zip(exact.infer_with_masks(jobs), exported.infer_with_masks(jobs), strict=True):
        assert want.shape == (32,)
        assert np.array_equal(want, got)


@FORMATS
def test_what_runs_is_part_of_what_a_profile_must_match(exports, engines, format):
    detector = Detector(engines[format])
    running = detector.running(detector.adapters[0])
    assert (running.runtime, running.precision) == (RUNTIME[format], "float32")
    assert running.export == read_export(exports[format]).id
    assert running.backbone_sha256 == exact_detector().backbone_sha256


def test_an_adapter_or_layer_that_was_not_exported_is_refused(engines):
    with pytest.raises(AdapterError, match=r"is not in the export .*--adapter"):
        engines["openvino"].with_adapters([tiny_adapter(9)])
    detector = Detector(engines["onnx"])
    assert detector.extended(exported_adapters()[1:]).adapters == detector.adapters
    stem = tiny_memory(layers=(0, 2))
    with pytest.raises(ExportError, match=r"gives no layer 0, .* as --memory"):
        detector.extended(memories=[stem])


def test_what_a_memory_is_made_of_comes_out_of_the_graph(engines):
    torch.manual_seed(4)
    images, config = torch.randn(3, 3, 32, 32), MemoryConfig(layers=(1, 2))
    want = exact_detector().memory_layers(images, config)
    got = Detector(engines["onnx"]).memory_layers(images, config)
    for layer in config.layers:
        assert torch.allclose(want[layer], got[layer], atol=1e-5)


def test_an_export_of_another_runtime_precision_or_backbone_is_refused(exports):
    runs = RunsOn("onnxruntime", exports["openvino"])
    with pytest.raises(ExportError, match="is for openvino, asked is onnxruntime"):
        open_export(runs, [], CPU, "float32")
    with pytest.raises(ExportError, match="computes in float32, asked is precision int8"):
        open_export(RunsOn("openvino", exports["openvino"]), [], CPU, "int8")
    with pytest.raises(AdapterError, match="tuned on other weights"):
        open_detector(EMBEDDED.name, device="cpu", runs=RunsOn("openvino", exports["openvino"]))


def test_a_changed_export_is_refused(exports, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(exports["onnx"], folder)
    values = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps(values | {"image_size": 64}))
    with pytest.raises(ExportError, match="does not match its id"):
        read_export(folder)
    (folder / FILE).write_text(json.dumps(values | {"schema": "fbclip.export/0", "version": "9.9"}))
    with pytest.raises(ExportError, match=r"another version of the product \(9.9\)"):
        read_export(folder)
    (folder / FILE).write_text(json.dumps(values | {"graph": "../backbone.onnx"}))
    with pytest.raises(ExportError, match="graph"):
        read_export(folder)
    (folder / FILE).write_text(json.dumps(values))
    with (folder / "backbone.onnx").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(ExportError, match=r"backbone.onnx: is not the file that was exported"):
        read_export(folder)
    (folder / "backbone.onnx").unlink()
    with pytest.raises(ExportError, match=r"backbone.onnx: No such file"):
        read_export(folder)
    with pytest.raises(ExportError, match="no export here"):
        read_export(tmp_path)


@FORMATS
def test_a_graph_that_the_runtime_does_not_take_is_named(tmp_path, format):
    file = tmp_path / ("backbone.onnx" if format == "onnx" else "backbone.xml")
    file.write_bytes(b"no graph")
    with pytest.raises(ExportError, match=f"{file.name}: {RUNTIME[format]} .* does not take this graph"):
        open_graph(RUNTIME[format], file, "float32", GraphSettings(CPU, 1))


@FORMATS
def test_what_fails_while_it_computes_is_an_error_that_the_judge_survives(engines, format):
    """As when a device vanishes: the judge takes RuntimeErrors for frames that get no verdict."""
    detector = Detector(engines[format])
    wrong_size = Job(torch.randn(1, 3, 16, 16), detector.adapters[0], 4.0)
    with pytest.raises(InferenceError, match=f"{RUNTIME[format]} failed in backbone") as found:
        detector.infer([wrong_size])
    assert isinstance(found.value, RuntimeError)
    assert detector.infer([Job(torch.randn(1, 3, 32, 32), detector.adapters[0], 4.0)])[0].finite


def test_a_runtime_that_is_not_installed_names_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ConfigError, match=r"pip install 'fbclip-inspect\[openvino\]'"):
        runtime_module("openvino")


def test_runtime_and_export_belong_together(tmp_path):
    assert runs_on("torch", None) is None
    with pytest.raises(ConfigError, match="torch runs none"):
        runs_on("torch", tmp_path)
    with pytest.raises(ConfigError, match="needs an export"):
        runs_on("openvino", None)


def test_a_device_that_a_runtime_has_not_is_a_configuration_error(exports):
    for format in ("onnx", "openvino"):
        graph = exports[format] / read_export(exports[format]).graph
        with pytest.raises(ConfigError, match="cuda"):
            open_graph(RUNTIME[format], graph, "float32", GraphSettings(torch.device("cuda"), 1))


@pytest.mark.parametrize("started", [False, True])
def test_a_cuda_that_does_not_start_is_not_silently_the_cpu(tmp_path, started):
    """onnxruntime itself takes the CPU then, and when the device fails later."""
    said = []

    class Session:
        def __init__(self, *_, **__):
            pass

        def get_providers(self):
            return ["CUDAExecutionProvider"] * started + ["CPUExecutionProvider"]

        def get_inputs(self):
            return []

        def disable_fallback(self):
            said.append("no fallback")

    library = SimpleNamespace(
        __version__="1.99",
        SessionOptions=onnxruntime.SessionOptions,
        InferenceSession=Session,
        get_available_providers=lambda: ["CUDAExecutionProvider"],
    )
    settings = GraphSettings(torch.device("cuda"), 1)
    if started:
        OnnxGraph(library, tmp_path / "backbone.onnx", settings)
        assert said == ["no fallback"]
    else:
        with pytest.raises(ConfigError, match=r"onnxruntime 1\.99 cannot start CUDA here"):
            OnnxGraph(library, tmp_path / "backbone.onnx", settings)


def test_auto_is_the_cpu_where_a_runtime_has_no_cuda(exports, monkeypatch):
    monkeypatch.setattr("fbclip.runtime.torch.cuda.is_available", lambda: True)
    for format, runtime in RUNTIME.items():
        assert not runs_on_cuda(runtime)
        with pytest.raises(AdapterError, match="tuned on other weights"):
            open_detector(EMBEDDED.name, device="auto", runs=RunsOn(runtime, exports[format]))


def test_a_detector_without_jobs_asks_nothing(engines):
    detector = Detector(engines["onnx"])
    assert detector.infer([]) == []
