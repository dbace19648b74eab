"""The table of runtimes: every one that is installed, as a ratio to torch; slow precisions are said to be."""

import json

import pytest
import torch
from typer.testing import CliRunner

from fbclip.bench.benchmark import TimedMemory
from fbclip.bench.runtimes import RuntimeRow, compare_runtimes, slower_than_float32, take_turns
from fbclip.cli import app
from fbclip.errors import ConfigError
from fbclip.method.model import Head
from tests.factories.models import TINY, TINY_METHOD, tiny_backbone

# Of one layer without the spatial view, whose shifts make most of a graph's operators: rows are what is tested here.
METHOD = TINY_METHOD.model_copy(update={"feature_layers": (3,), "views": ("identity", "semantic")})


def compare(keep, batch=2, said=None):
    head = Head(TINY.width, METHOD).requires_grad_(False).eval()
    note = (lambda _: None) if said is None else said.append
    # The head's weights are those of the seed, so that every comparison is of the same model.
    return compare_runtimes(tiny_backbone()[0], head, batch, 1, TimedMemory(20), note, keep, 1)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder of finished rows and exports, and the table that they belong to."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("kept")
    return folder, compare(folder)


def test_every_runtime_and_precision_is_a_row(kept):
    _, table = kept
    rows = {(row.runtime, row.precision): row for row in table.rows}
    assert table.notes == tuple(slower_than_float32(table.rows))
    assert set(rows) == {
        ("torch", "float32"), ("torch", "bfloat16"), ("onnxruntime", "float32"),
        ("openvino", "float32"), ("openvino", "bfloat16"), ("openvino", "int8"),
    }  # fmt: skip
    assert rows["torch", "float32"].speed == 1
    assert all(row.repeats == 1 and row.speed > 0 for row in table.rows)
    assert table.whole_to_bare == pytest.approx(rows["torch", "float32"].ms / table.bare_ms, rel=1e-2)
    assert "a memory of 20 tokens" in table.text()


def test_rows_that_are_done_are_kept_and_no_other_setting_is_mixed_in(kept):
    folder, first = kept
    file, said = folder / "rows.json", []
    values = json.loads(file.read_text())
    # As if the run had been killed before the last two.
    exports = {path: path.stat().st_mtime_ns for path in folder.glob("*/export.json")}
    assert len(exports) == 3
    file.write_text(json.dumps(values | {"rows": values["rows"][:-2]}))
    torch.manual_seed(0)
    second = compare(folder, said=said)
    assert [text for text in said if text.startswith("opening")] == [
        "opening openvino bfloat16",
        "opening openvino int8",
    ]
    assert second.rows[:-2] == first.rows[:-2]
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/export.json")} == exports
    torch.manual_seed(0)
    with pytest.raises(ConfigError, match=r"rows.json: was timed with batch 2, asked is 1; name another folder"):
        compare(folder, batch=1)
    file.write_text("no rows")
    with pytest.raises(ConfigError, match="holds no rows of a benchmark"):
        compare(folder)


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
