"""`calibrate tune` on files with the embedded model."""

import hashlib
import json

import pytest
import typer
from typer.testing import CliRunner

from calibrate.commands.tune import tune
from calibrate.defects.on_images import EVALUATION_KINDS, TUNE_KINDS
from calibrate.embedded.samples.files import write_png
from calibrate.embedded.samples.products import inbox_part
from calibrate.errors import DataError
from fbclip.artefacts.adapter import load_adapter
from fbclip.backbone.weights import EMBEDDED_DIR
from fbclip.errors import ConfigError
from fbclip.images.decode import read_image

app = typer.Typer()
app.command("tune")(tune)
QUICK = ["--epochs", "1", "--synthetic", "1", "--learning-rate", "0.0005"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """16 normal images."""
    root = tmp_path_factory.mktemp("good")
    (root / "good").mkdir()
    for k in range(16):
        write_png(root / "good" / f"{k:02d}.png", inbox_part(k, size=(96, 96)).image)
    return root


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def test_normal_only_keeps_the_base_when_too_little_is_known(images, tmp_path):
    out = tmp_path / "adapter"
    answer = call(images, "--out", out, *QUICK)
    assert answer.exit_code == 0, answer.output
    assert "undecided" in answer.output and "synthetic comparison" in answer.output
    kept = digests(out)
    assert kept.pop("tuning.json")
    assert kept == digests(EMBEDDED_DIR / "adapter")
    assert not (tmp_path / "adapter.work").exists()

    forced = tmp_path / "forced"
    answer = call(images, "--out", forced, *QUICK, "--keep", "--json")
    assert answer.exit_code == 0, answer.output
    values = json.loads(answer.stdout)
    adapter = load_adapter(forced)
    assert values["forced"] and values["decision"] == "undecided, base kept"
    assert values["adapter"] == adapter.id == values["tuned"] != values["base"]
    assert adapter.manifest.provenance["mode"] == "good only"
    assert len(adapter.manifest.provenance["pictures"]) == 16
    assert (
        json.loads((forced / "tuning.json").read_text())["tuned"]
        == json.loads((out / "tuning.json").read_text())["tuned"]
    )


def test_from_scratch_has_no_base(images, tmp_path):
    answer = call(images, "--out", tmp_path / "a", *QUICK, "--from-scratch", "--without", "mvfbe", "--json")
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["decision"] == "no base"
    assert not load_adapter(tmp_path / "a").manifest.method.modules.mvfbe


def test_an_interruption_leaves_nothing_half_written(images, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("calibrate.tuning.run.score_adapters", interrupted)
    answer = call(images, "--out", tmp_path / "a", *QUICK)
    assert answer.exit_code == 130
    assert "interrupted" in answer.output
    assert not (tmp_path / "a").exists()
    assert [p.name for p in (tmp_path / "a.work").iterdir()] == ["state.safetensors"]
    other = call(images, "--out", tmp_path / "a", *QUICK, "--batch", "2")
    assert isinstance(other.exception, ConfigError) and "--restart" in str(other.exception)
    monkeypatch.undo()
    assert call(images, "--out", tmp_path / "a", *QUICK, "--batch", "2", "--restart").exit_code == 0


def test_preview_writes_every_kind_and_does_not_train(images, tmp_path):
    answer = call(images, "--out", tmp_path / "a", "--preview", tmp_path / "p")
    assert answer.exit_code == 0, answer.output
    names = sorted(p.name for p in (tmp_path / "p").iterdir())
    assert len(names) == len(TUNE_KINDS) + len(EVALUATION_KINDS) and names[0] == "01_tune_scratch.png"
    image = read_image(tmp_path / "p" / names[3]).image
    assert image.shape == (96, 96, 3)
    assert (image == (255, 0, 255)).all(axis=2).any()
    assert not (tmp_path / "a").exists()


def test_anomalous_input_is_one_clear_error(images, tmp_path):
    out = tmp_path / "a"
    empty = tmp_path / "empty"
    empty.mkdir()
    method = tmp_path / "m.yaml"
    method.write_text("attention: {heads: 3}\n")
    odd = tmp_path / "odd.yaml"
    odd.write_text("view: {spatial_window: 4}\n")
    cases = [
        ((empty, "--out", out), DataError, "images"),
        ((images, "--out", out, "--learning-rate", "2"), ConfigError, "--learning-rate"),
        ((images, "--out", out, "--without", "all"), ConfigError, "--without"),
        ((images, "--out", out, "--method", method), ConfigError, "--from-scratch"),
        ((images, "--out", out, "--method", odd), ConfigError, "cannot run"),
        ((images, "--out", EMBEDDED_DIR / "adapter"), ConfigError, "is the base itself"),
        ((images, "--out", out, "--backbone", "ViT-L-14-336"), ConfigError, "--from"),
        ((images, "--out", out, "--roi", "1,2"), ConfigError, "--roi"),
        ((images, "--out", odd), ConfigError, "is a file"),
    ]
    for arguments, kind, message in cases:
        answer = call(*arguments)
        assert isinstance(answer.exception, kind), (arguments, answer.output, answer.exception)
        assert message in str(answer.exception)
        assert "\n" not in str(answer.exception)
    assert not out.exists()


def test_unreadable_images_are_listed_and_skipped_on_demand(images, tmp_path):
    root = tmp_path / "data"
    (root / "good").mkdir(parents=True)
    for path in sorted((images / "good").iterdir())[:6]:
        (root / "good" / path.name).write_bytes(path.read_bytes())
    (root / "good" / "cut.png").write_bytes((images / "good" / "15.png").read_bytes()[:300])
    answer = call(root, "--out", tmp_path / "a", *QUICK)
    assert isinstance(answer.exception, DataError)
    assert "cut.png" in str(answer.exception) and "--skip-bad" in str(answer.exception)
    answer = call(root, "--out", tmp_path / "a", *QUICK, "--skip-bad")
    assert answer.exit_code == 0, answer.output
    assert "left out" in answer.output and "cut.png" in answer.output
