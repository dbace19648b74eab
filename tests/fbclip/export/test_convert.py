"""An operator that a format does not know is named, and nothing is left that looks like a graph."""

import pytest
import torch

from fbclip.errors import ExportError
from fbclip.export.convert import openvino_model, write_onnx
from fbclip.export.graphs import Graph


class Factored(Graph):
    """What keeps the contrast of an image with itself out of every export."""

    takes, gives = ["matrix"], ["factor"]

    def forward(self, matrix):
        return torch.linalg.cholesky_ex(matrix).L


GIVEN = {"matrix": torch.eye(3).expand(2, 3, 3).contiguous()}


def test_onnx_names_the_operator(tmp_path):
    with pytest.raises(ExportError, match=r"factor.onnx: ONNX opset 17 does not take this graph: .*cholesky") as found:
        write_onnx(Factored(), GIVEN, tmp_path / "factor.onnx")
    assert "\n" not in str(found.value)
    assert not list(tmp_path.iterdir())


def test_openvino_names_the_operator():
    with pytest.raises(ExportError, match=r"OpenVINO \S+ does not take this graph: .*") as found:
        openvino_model(Factored(), GIVEN)
    assert "cholesky" in str(found.value)
    assert "\n" not in str(found.value)
