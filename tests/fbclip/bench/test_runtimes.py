"""The table of runtimes: every one that is installed, as a ratio to torch; slow precisions are said to be."""

import json

import pytest
from typer.testing import CliRunner

from fbclip.bench.benchmark import TimedMemory
from fbclip.bench.runtimes import RuntimeRow, compare_runtimes, slower_than_float32
from fbclip.cli import app
from fbclip.method.model import Head
from tests.factories.models import TINY, TINY_METHOD, tiny_backbone


def test_every_runtime_and_precision_is_a_row():
    head = Head(TINY.width, TINY_METHOD).requires_grad_(False).eval()
    table = compare_runtimes(tiny_backbone()[0], head, 2, 1, TimedMemory(20))
    rows = {(row.runtime, row.precision): row for row in table.rows}
    assert table.notes == tuple(slower_than_float32(table.rows))
    assert set(rows) == {
        ("torch", "float32"), ("torch", "bfloat16"), ("onnxruntime", "float32"),
        ("openvino", "float32"), ("openvino", "bfloat16"), ("openvino", "int8"),
    }  # fmt: skip
    assert rows["torch", "float32"].speed == 1
    base = rows["torch", "float32"].ms
    for row in table.rows:
        assert row.speed == pytest.approx(base / row.ms, abs=2e-3)
    assert table.whole_to_bare == pytest.approx(base / table.bare_ms, rel=1e-2)
    assert "a memory of 20 tokens" in table.text()


def test_a_precision_that_is_slower_than_float32_is_warned_of():
    rows = (
        RuntimeRow("torch", "float32", 10, 1, 1), RuntimeRow("torch", "bfloat16", 40, 1, 0.25),
        RuntimeRow("openvino", "float32", 8, 1, 1.2), RuntimeRow("openvino", "int8", 3, 1, 3.3),
    )  # fmt: skip
    assert slower_than_float32(rows) == [
        "warning: torch bfloat16 is slower than its float32 on this processor; use float32"
    ]


def test_the_option_is_one_of_two():
    answer = CliRunner().invoke(app, ["bench", "--runtime", "tensorrt", "--json"])
    assert answer.exit_code != 0
    with pytest.raises(ValueError):
        json.loads(answer.stdout)
