"""README's way to the real model, word for word, with a server of ours in place of the publishers' and tiny weights."""

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from agent.commands.check import check_all
from agent.config.loader import load_config
from calibrate.cli import main as calibrate
from calibrate.tuning import checkpoint_facts
from fbclip.artefacts.adapter import load_adapter
from fbclip.backbone import catalog, sources, weights
from fbclip.backbone.config import VIT_L_14_336
from fbclip.cli import main as fbclip
from tests.factories.tuning import golden_weights
from tests.factories.weights_server import weights_server

ROOT = Path(__file__).parents[2]
HUB = "timm/tiny"
COMMANDS = {"fbclip": fbclip, "calibrate": calibrate}


@pytest.fixture
def box(tmp_path, monkeypatch):
    """A folder to work in; ViT-L-14-336 has the golden case's tiny shape, its addresses lead to a server of ours."""
    golden = golden_weights()
    tiny = golden.config.model_copy(update={"name": VIT_L_14_336.name})
    real = catalog.backbone_config
    for module in (catalog, weights, checkpoint_facts):
        monkeypatch.setattr(module, "backbone_config", lambda name: tiny if name == tiny.name else real(name))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copy(golden.path.with_name("checkpoint.pth"), tmp_path / "fbclip_visa.pth")
    monkeypatch.chdir(tmp_path)
    with weights_server() as server:
        entry = {"url": f"{server.url}/{'0' * 64}/clip.pt", "hf_hub": f"{HUB}/", "quick_gelu": tiny.quick_gelu}
        monkeypatch.setattr(sources, "get_pretrained_cfg", lambda *_: entry)
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        server.put_on_hub(f"/{HUB}/resolve/main/open_clip_model.safetensors", golden.path.read_bytes())
        yield server


@pytest.fixture
def run(box, monkeypatch, capsys):
    def run(line: str, code: int = 0) -> str:
        script, *words = shlex.split(line)
        monkeypatch.setattr(sys, "argv", [script, *words])
        with pytest.raises(SystemExit) as ended:
            COMMANDS[script]()
        out, err = capsys.readouterr()
        assert (ended.value.code or 0) == code, out + err
        return out if code == 0 else err

    return run


def readme() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = re.search(r"^## With the real model\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)[1]
    assert len(section.strip().splitlines()) <= 10
    return [line.partition("  #")[0] for line in re.search(r"```\n(.*?)```", section, re.DOTALL)[1].splitlines()]


def test_the_readmes_commands_lead_to_a_model_that_the_agent_opens(run, tmp_path):
    fetch, load, check = readme()
    assert "checked" in run(fetch)
    text = run(load)
    assert "data set: by its name trained on VisA" in text
    assert "backbone: prompts" in text
    adapter = load_adapter(tmp_path / "adapters" / "fbclip")
    assert adapter.manifest.weights_trusted is None
    lines = {"name": "inbox", "mode": "learning", "source": {"type": "folder", "path": "inbox"}}
    printed = yaml.safe_load(text.partition("agent.yaml:\n")[2])
    Path("inbox").mkdir()
    rest = {"mqtt": {"url": "embedded://127.0.0.1:0"}, "web": {"listen": "127.0.0.1:0"}, "lines": [lines]}
    Path("agent.yaml").write_text(yaml.safe_dump({**printed, **rest}))
    assert check == "agent check"
    assert {c.part: c.problem for c in check_all(load_config(Path("agent.yaml")))}["model"] is None


def test_an_unknown_file_takes_trust_which_the_id_records(run, tmp_path):
    fetch, load, _ = readme()
    run(fetch)
    run(load)
    known = load_adapter(tmp_path / "adapters" / "fbclip").id
    (tmp_path / "weights" / "ViT-L-14-336.safetensors.sha256").unlink()
    assert "nobody states its sha256" in run(load, code=1)
    assert "taken on trust" in run(f"{load} --trust")
    trusted = load_adapter(tmp_path / "adapters" / "fbclip")
    assert (trusted.manifest.weights_trusted, trusted.id == known) == (True, False)


def test_an_offline_box_is_told_what_to_bring(run, box):
    box.stated.clear()
    text = run("fbclip fetch ViT-L-14-336", code=1)
    assert len([line for line in text.splitlines() if line.startswith("error: ")]) == 1
    for part in ("HTTP 404", box.url, "as ViT-L-14-336.pt", "as ViT-L-14-336.safetensors", "model.weights"):
        assert part in text
