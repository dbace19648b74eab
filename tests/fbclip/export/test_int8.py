"""int8 of real graphs by NNCF and by ONNX Runtime: near float32, and said in the manifest."""

import numpy as np
import pytest
import torch

from fbclip.detector import Detector, Job
from fbclip.engines.export_manifest import read_export
from fbclip.errors import ConfigError
from fbclip.export.calibration import LEAST, read_calibration
from fbclip.export.run import ExportRequest, export
from tests.factories.exports import exact_detector, exported_engine, tiny_export
from tests.factories.images import write_image


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    for number in range(LEAST):
        write_image(folder / f"{number}.png", seed=number, size=(40, 36))
    return folder


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_int8_stays_near_float32_and_says_what_it_was_made_on(format, good, tmp_path):
    manifest = tiny_export(tmp_path, format, "int8", 1, calibration=good)
    assert read_export(tmp_path) == manifest
    assert manifest.quantised.images == LEAST - 2
    assert manifest.quantised.data_sha256 == read_calibration(good, 32, 8).data_sha256
    assert 0 < manifest.quantised.error < 1
    exact, low = exact_detector(), Detector(exported_engine(tmp_path, format, "int8", 1))
    image = read_calibration(good, 32, 8).measure[0]
    job = Job(image, exact.adapters[0], 4.0)
    (want,), (got,) = exact.infer([job]), low.infer([job])
    apart = np.abs(want.map - got.map).max()
    assert 0 < apart < 0.5 * np.abs(want.map).max()


def test_calibration_and_int8_belong_together(tmp_path):
    for request in (
        ExportRequest("openvino", tmp_path / "e", "int8"),
        ExportRequest("onnx", tmp_path / "e", "float32", calibration=tmp_path),
    ):
        with pytest.raises(ConfigError, match="--calibration"):
            export(request)
    assert not (tmp_path / "e").exists()


def test_too_few_pictures_and_unreadable_ones_are_named(tmp_path, good):
    with pytest.raises(ConfigError, match=f"0 images there, int8 needs {LEAST}"):
        read_calibration(tmp_path, 32, 8)
    for path in good.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "7.png").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match=r"7.png: .*take it out"):
        read_calibration(tmp_path, 32, 8)


def test_what_measures_calibrates_nothing(good):
    images = read_calibration(good, 32, 8)
    assert (len(images.calibrate), len(images.measure)) == (LEAST - 2, 2)
    assert not any(torch.equal(a, b) for a in images.calibrate for b in images.measure)


def test_onnx_runtime_has_no_lower_float_and_a_foreign_folder_stays(tmp_path):
    with pytest.raises(ConfigError, match="--format openvino"):
        export(ExportRequest("onnx", tmp_path / "e", "bfloat16"))
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(ConfigError, match="holds something that is no export"):
        export(ExportRequest("onnx", tmp_path))
    assert (tmp_path / "mine.txt").read_text() == "kept"
