"""The table of runtimes: every one that is installed, as a ratio to torch; slow precisions are said to be."""

import json

import pytest
from typer.testing import CliRunner

from fbclip.bench.benchmark import TimedMemory
from fbclip.bench.runtimes import RuntimeRow, compare_runtimes, slower_than_float32, take_turns
from fbclip.cli import app
from fbclip.errors import ConfigError
from fbclip.method.model import Head
from tests.factories.models import TINY, TINY_METHOD, tiny_backbone


def tiny_head() -> Head:
    return Head(TINY.width, TINY_METHOD).requires_grad_(False).eval()


def test_every_runtime_and_precision_is_a_row():
    head = tiny_head()
    table = compare_runtimes(tiny_backbone()[0], head, 2, 1, TimedMemory(20))
    rows = {(row.runtime, row.precision): row for row in table.rows}
    assert table.notes == tuple(slower_than_float32(table.rows))
    assert set(rows) == {
        ("torch", "float32"), ("torch", "bfloat16"), ("onnxruntime", "float32"),
        ("openvino", "float32"), ("openvino", "bfloat16"), ("openvino", "int8"),
    }  # fmt: skip
    assert rows["torch", "float32"].speed == 1
    base = rows["torch", "float32"].ms
    assert all(row.repeats == 1 and row.speed > 0 for row in table.rows)
    assert table.whole_to_bare == pytest.approx(base / table.bare_ms, rel=1e-2)
    assert "a memory of 20 tokens" in table.text()


def test_rows_that_are_done_are_kept_and_no_other_setting_is_mixed_in(tmp_path):
    head = tiny_head()
    backbone = tiny_backbone()[0]
    said = []

    def compare(batch=1):
        said.clear()
        return compare_runtimes(backbone, head, batch, 1, note=said.append, keep=tmp_path, seconds=1)

    first = compare()
    file = tmp_path / "rows.json"
    values = json.loads(file.read_text())
    # As if the run had been killed before the last two.
    exports = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/export.json")}
    file.write_text(json.dumps(values | {"rows": values["rows"][:-2]}))
    second = compare()
    assert [text for text in said if text.startswith("opening")] == [
        "opening openvino bfloat16",
        "opening openvino int8",
    ]
    assert second.rows[:-2] == first.rows[:-2]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/export.json")} == exports
    with pytest.raises(ConfigError, match=r"rows.json: was timed with batch 1, asked is 2; name another folder"):
        compare(batch=2)
    file.write_text("no rows")
    with pytest.raises(ConfigError, match="holds no rows of a benchmark"):
        compare()


def test_a_row_ends_with_its_seconds_and_is_timed_at_least_once():
    now = [0.0]

    def work():
        now[0] += 10.0

    turns = take_turns([work, work], repeats=5, seconds=45, clock=lambda: now[0])
    assert (turns.medians_ms, turns.count) == ((10_000, 10_000), 2)
    assert take_turns([work], repeats=3, seconds=1, clock=lambda: now[0]).count == 1
    assert take_turns([work], repeats=3, seconds=1e9, clock=lambda: now[0]).count == 3


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
