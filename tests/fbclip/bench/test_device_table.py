"""The table of a device: the shape that is the same everywhere, its bounds, and rows that were not timed."""

import json

import pytest
import torch
from typer.testing import CliRunner

from fbclip.bench import device_table as tables
from fbclip.bench.benchmark import TimedMemory
from fbclip.bench.device_table import device_table, table_models
from fbclip.bench.roofline import Roofline, count_flops, measure_roofline
from fbclip.cli import app
from fbclip.errors import ConfigError
from fbclip.method.model import Head
from tests.factories.models import TINY, TINY_METHOD, tiny_backbone

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("fbclip.bench.roofline._SECONDS", 0.02)
    monkeypatch.setattr("fbclip.bench.roofline._SIDE", {"cpu": 64})
    monkeypatch.setattr("fbclip.bench.roofline._MIB", {"cpu": 1})


def model():
    return tiny_backbone()[0], Head(TINY.width, TINY_METHOD).requires_grad_(False).eval()


def test_every_combination_is_a_row_and_its_figures_belong_together():
    table = device_table([model()], CPU, [1, 3], [None, TimedMemory(20)], 2, ("float32", "bfloat16"))
    assert [(row.precision, row.memory_tokens, row.batch) for row in table.rows] == [
        (precision, memory, batch) for precision in ("float32", "bfloat16") for memory in (0, 20) for batch in (1, 3)
    ]
    assert table.notes == ()
    for row in table.rows:
        assert row.repeats == 2
        assert row.ratio == pytest.approx(row.whole_ms / row.bare_ms, abs=1e-3)
        assert row.images_per_s == pytest.approx(1e3 * row.batch / row.whole_ms, abs=0.02)
        assert row.of_bound > 0
    one, three = table.rows[:2]
    assert three.gflop > one.gflop > 0
    assert "% of the bound" in table.text() and "GB/s" in table.text()


def test_rows_for_which_no_time_is_left_are_named(monkeypatch):
    now = iter([0.0, 0.0, *[0.0] * 4, *[1000.0] * 50])
    table = device_table([model()], CPU, [1, 2], [None], 1, ("float32", "bfloat16"), monotonic=lambda: next(now))
    assert len(table.rows) + len(table.notes) == 3
    assert all("120 s are over" in text for text in table.notes) and table.notes


def test_the_bound_is_the_longer_of_products_and_bytes():
    roofline = Roofline({"float32": 2.0}, 100.0)
    assert roofline.bound_ms(4e12, 1e9, "float32") == 2000
    assert roofline.bound_ms(4e9, 1e9, "float32") == 10


def test_operations_are_counted_whoever_multiplies():
    q = torch.randn(2, 3, 16, 8)
    with torch.inference_mode():
        attention = count_flops(lambda: torch.nn.functional.scaled_dot_product_attention(q, q, q))
        assert attention == 2 * 2 * (2 * 3 * 16 * 16 * 8)
        assert count_flops(lambda: torch.randn(4, 5) @ torch.randn(5, 6)) == 2 * 4 * 5 * 6


def test_a_measured_roofline_is_positive():
    found = measure_roofline(CPU, ("float32", "bfloat16"))
    assert set(found.tflops) == {"float32", "bfloat16"} and found.gb_s > 0
    assert all(value > 0 for value in found.tflops.values())


def test_on_a_gpu_the_papers_backbone_is_timed_as_well(monkeypatch):
    opened = []
    monkeypatch.setattr(tables, "open_parts", lambda name, random: opened.append((name, random)) or model())
    assert len(table_models(*model(), torch.device("cuda"), False)) == 2
    assert opened == [("ViT-L-14-336", True)]
    assert len(table_models(*model(), CPU, False)) == len(table_models(*model(), torch.device("cuda"), True)) == 1


def test_a_named_device_gives_the_table_and_no_named_one_the_same_keys():
    short = ["bench", "--json", "--repeats", "1", "--random-weights", "--size", "64", "--precision", "float32"]
    named, plain = (json.loads(CliRunner().invoke(app, [*short, *more]).stdout) for more in (["--device", "cpu"], []))
    assert named.keys() == plain.keys()
    assert [row["backbone"] for row in named["rows"]] == ["embedded"]
    assert named["roofline"]["tflops"]["float32"] > 0
    assert (plain["roofline"], plain["rows"]) == (None, [])


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_here_is_one_line_and_code_2():
    answer = CliRunner().invoke(app, ["bench", "--device", "cuda", "--json"])
    assert isinstance(answer.exception, ConfigError)
    assert "no such GPU on this machine" in str(answer.exception) and "\n" not in str(answer.exception)
