"""What calibrate reads of agent.yaml: what the agent reads, and nothing that it need not know."""

from pathlib import Path

import pytest

from agent.config.loader import load_config
from calibrate.commands.options import ModelOptions
from calibrate.line.config import read_line_config
from fbclip.errors import ConfigError

ROOT = Path(__file__).parents[3]
TEXT = """
model: {backbone: ViT-L-14-336, weights: w/model.pt, adapter: adapters/all, precision: bfloat16, device: cpu}
mqtt: {url: mqtt://broker, username: u, password_env: SECRET}
lines:
  - {name: belt, mode: learning, adapter: adapters/belt, source: {type: folder, path: in}, alert: {on: [anomaly]}}
  - {name: press, profile: p/press.yaml, memory: m/press, source: {type: folder, path: in2}}
"""


def written(folder, text=TEXT):
    (folder / "agent.yaml").write_text(text)
    return folder / "agent.yaml"


@pytest.mark.parametrize("line", ["belt", "press"])
def test_it_is_what_the_agent_reads(tmp_path, line):
    file = written(tmp_path)
    found, agent = read_line_config(file, line), load_config(file)
    section = next(s for s in agent.lines if s.name == line)
    assert found.adapter == (section.adapter or agent.model.adapter)
    assert (found.profile, found.memory) == (section.profile, section.memory)
    for name in ("backbone", "weights", "precision", "device"):
        assert getattr(found, name) == getattr(agent.model, name)


def test_the_shipped_configuration_is_read():
    assert read_line_config(ROOT / "agent.yaml", "belt").memory == ROOT / "deploy/samples/memories/belt"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lines: []", "lines"),
        ("lines: [{name: a}]", "no such line in .*; it has a"),
        ("lines: [{name: belt}, {name: belt}]", "stands twice"),
        ("model: {precision: int3}\nlines: [{name: belt}]", r"model\.precision"),
        ("lines: [{name: belt, profile: 3}]", r"lines\.0\.profile"),
        ("lines: [", "not valid YAML"),
        ("\x00", "not valid YAML|cannot be read"),
        ("- 1", "configuration"),
    ],
)
def test_a_fault_is_one_line_that_names_it(tmp_path, text, says):
    with pytest.raises(ConfigError, match=says) as caught:
        read_line_config(written(tmp_path, text), "belt")
    assert "\n" not in str(caught.value)


def test_options_of_the_model_come_from_the_line(tmp_path):
    file = written(tmp_path)
    model = ModelOptions(config=file, line="belt").resolved()
    assert (model.backbone, model.adapter, model.precision) == ("ViT-L-14-336", tmp_path / "adapters/belt", "bfloat16")
    assert ModelOptions(config=file, line="belt", device="cuda").resolved().device == "cuda"
    with pytest.raises(ConfigError, match=r"--precision float16: line belt in .* has bfloat16"):
        ModelOptions(config=file, line="belt", precision="float16").resolved()
    with pytest.raises(ConfigError, match="name the line in it with --line"):
        ModelOptions(config=file).resolved()
    with pytest.raises(ConfigError, match="no such file"):
        ModelOptions(config=tmp_path / "x.yaml", line="belt").resolved()
