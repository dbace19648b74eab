"""The protocol end to end on two generated stand-ins and a tiny CLIP: tuned, evaluated, tabled, and gone on with."""

import numpy as np
import pytest
from typer.testing import CliRunner

from calibrate.cli import app
from calibrate.embedded.samples.files import write_png
from calibrate.embedded.samples.products import inbox_part
from calibrate.errors import DataError
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


def test_the_protocol_gives_its_table_and_goes_on(sets, tmp_path):
    weights = tiny_clip(tmp_path / "clip")
    asked = (
        "--train", f"one={sets[0]}", "--test", f"two={sets[1]}", "--out", tmp_path / "out", "--backbone", NAME,
        "--weights", weights.path, "--device", "cpu", "--epochs", 1, "--size", 104, "--ablation", "--method", "winclip",
    )  # fmt: skip
    answer = run(*asked)
    assert answer.exit_code == 0, answer.output
    text = (tmp_path / "out" / "table.md").read_text()
    for name in ("fb-clip", "mstff", "mstff-mvfbe", "bs-alone", "vanilla", "winclip"):
        assert f"| {name} | " in text
    assert "Paired differences" in text
    adapters = tmp_path / "out" / "adapters"
    whole, alone = (load_adapter(adapters / f"{name}-s0").manifest for name in ("fb-clip", "bs-alone"))
    assert (whole.provenance["trained_on"], len(whole.provenance["pictures"])) == ("one", 8)
    assert alone.fbclip.modules.model_dump() == {"mstff": False, "mvfbe": False, "background_subtraction": True}
    assert (alone.fbclip.consistency.weight, whole.fbclip.consistency.weight) == (0, 0.15)

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
        ((*both, "--method", "afclip"), ConfigError, "is learned"),
        ((*both, "--method", "padim"), ConfigError, "must be one of"),
    ]
    for arguments, kind, says in cases:
        answer = run(*arguments, *out)
        assert isinstance(answer.exception, kind), answer.output
        assert says in str(answer.exception)
