"""The protocol end to end on two generated stand-ins and a tiny CLIP: tuned, evaluated, tabled, and gone on with."""

import numpy as np
import pytest
from typer.testing import CliRunner

from calibrate.cli import app
from calibrate.embedded.samples.files import write_png
from calibrate.embedded.samples.products import inbox_part
from calibrate.errors import DataError
from calibrate.evaluation.document import read_evaluation
from calibrate.inference import View
from fbclip.artefacts.adapter import load_adapter
from fbclip.errors import ConfigError
from tests.factories.peers import NAME, tiny_clip


def write_set(root, first):
    for k in range(8):
        defect = "hole" if k % 2 else None
        scene = inbox_part(first + k, defect, size=(64, 64))
        folder = root / "test" / (defect or "good")
        folder.mkdir(parents=True, exist_ok=True)
        write_png(folder / f"{k}.png", scene.image)
        if defect:
            (root / "ground_truth" / defect).mkdir(parents=True, exist_ok=True)
            mask = np.repeat(scene.mask[..., None], 3, 2).astype(np.uint8) * 255
            write_png(root / "ground_truth" / defect / f"{k}_mask.png", mask)
    return root


@pytest.fixture
def sets(tmp_path):
    return write_set(tmp_path / "one", 0), write_set(tmp_path / "two", 50)


def run(*arguments):
    return CliRunner().invoke(app, ["paper", *(str(a) for a in arguments)])


def evaluated_by_paper(root, adapter, weights, out):
    asked = ("--paper", "--adapter", adapter, "--backbone", NAME, "--weights", weights.path, "--device", "cpu")
    answer = CliRunner().invoke(app, ["evaluate", *map(str, (root, "--out", out, *asked))])
    assert answer.exit_code == 0, answer.output
    return read_evaluation(out)


def test_the_protocol_gives_its_table_and_goes_on(sets, tmp_path, monkeypatch):
    weights = tiny_clip(tmp_path / "clip")
    asked = (
        "--train", f"one={sets[0]}", "--test", f"visa-two={sets[1]}", "--out", tmp_path / "out", "--backbone", NAME,
        "--weights", weights.path, "--device", "cpu", "--epochs", 1, "--size", 104, "--ablation", "--method", "winclip",
        "--method", "afclip",
    )  # fmt: skip
    judged = []
    score = View.score

    def counted(self, samples, advance=lambda _: None):
        judged.extend(sample.path.name for sample in samples)
        return score(self, samples, advance)

    monkeypatch.setattr(View, "score", counted)
    answer = run(*asked)
    assert answer.exit_code == 0, answer.output
    rows = ("fb-clip", "mstff", "mstff-mvfbe", "bs-alone", "vanilla", "winclip", "afclip")
    # Both definitions come from one look; the worst images of each kind are drawn once more.
    assert len(judged) == len(rows) * (8 + 8)
    text, page = ((tmp_path / "out" / name).read_text() for name in ("table.md", "report.html"))
    for name in rows:
        assert f"| {name} | " in text
        assert f'<th scope="row">{name}</th>' in page
    runs = tmp_path / "out" / "runs" / "visa-two"
    exact, paper = (read_evaluation(runs / f"fb-clip-s0{end}") for end in ("", "-paper"))
    adapters = tmp_path / "out" / "adapters"
    by_command = evaluated_by_paper(sets[1], adapters / "fb-clip-s0", weights, tmp_path / "alone")
    assert (exact.definition, paper.definition) == ("exact", "paper")
    assert paper.mean == by_command.mean != exact.mean
    for said in (
        "Paired differences",
        "Published by others, not measured here",
        "arXiv 2603.19608",
        "0.9630",
        "0.9620",
    ):
        assert said in text and said in page
    whole, alone = (load_adapter(adapters / f"{name}-s0").manifest for name in ("fb-clip", "bs-alone"))
    assert (whole.provenance["trained_on"], len(whole.provenance["pictures"])) == ("one", 8)
    assert alone.fbclip.modules.model_dump() == {"mstff": False, "mvfbe": False, "background_subtraction": True}
    assert (alone.fbclip.consistency.weight, whole.fbclip.consistency.weight) == (0, 0.15)

    assert load_adapter(adapters / "afclip-s0").manifest.method_name == "afclip"

    # The same again takes what is there, and makes what is missing.
    kept, gone = (adapters / f"{name}-s0" / "adapter.json" for name in ("fb-clip", "mstff"))
    before, identity = kept.stat().st_mtime_ns, load_adapter(gone.parent).id
    gone.unlink()
    assert run(*asked).exit_code == 0
    assert kept.stat().st_mtime_ns == before
    assert load_adapter(gone.parent).id == identity
    assert (tmp_path / "out" / "table.md").read_text() == text


def test_what_the_protocol_cannot_do_is_one_line(sets, tmp_path):
    out = ("--out", tmp_path / "out")
    both = ("--train", f"one={sets[0]}", "--test", f"two={sets[1]}")
    cases = [
        (("--train", sets[0], "--test", f"two={sets[1]}"), ConfigError, "must be NAME=FOLDER"),
        (("--train", f"one={tmp_path / 'none'}", "--test", f"two={sets[1]}"), DataError, "is no folder"),
        ((*both, "--method", "padim"), ConfigError, "must be one of"),
    ]
    for arguments, kind, says in cases:
        answer = run(*arguments, *out)
        assert isinstance(answer.exception, kind), answer.output
        assert says in str(answer.exception)
