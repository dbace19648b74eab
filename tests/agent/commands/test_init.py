"""A folder to start from: valid as it is, valid where its comments are used, and never over anything."""

import json
import re

import jsonschema
import pytest
import yaml

from agent.commands.init import config_text, init_command
from agent.commands.options import InitRequest
from agent.config.loader import load_config
from agent.config.sections import Config
from fbclip.errors import ConfigError


@pytest.mark.parametrize("samples", [False, True])
def test_what_it_writes_can_be_loaded_and_names_its_schema(samples, tmp_path, capsys):
    folder = tmp_path / "new" / "site"
    init_command(InitRequest(folder, samples))
    config = load_config(folder / "agent.yaml")
    text = (folder / "agent.yaml").read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=agent.schema.json\n")
    schema = json.loads((folder / "agent.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(yaml.safe_load(text), schema)
    for line in config.lines:
        assert all(path.exists() for path in (line.profile, line.memory, line.source.path) if path is not None)
    assert len(list((folder / "inbox").iterdir())) == (10 if samples else 0)
    assert f"agent check -c {folder / 'agent.yaml'}" in capsys.readouterr().out


@pytest.mark.parametrize("there", ["agent.yaml", "samples"])
def test_nothing_is_overwritten(there, tmp_path):
    (tmp_path / there).write_text("mine", encoding="utf-8")
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "tile_good_01.png").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="is left as it is"):
        init_command(InitRequest(tmp_path, samples=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([there, "inbox"])
    (tmp_path / there).unlink()
    init_command(InitRequest(tmp_path, samples=True))
    assert (tmp_path / "inbox" / "tile_good_01.png").read_text(encoding="utf-8") == "mine"


def test_what_its_comments_offer_is_valid():
    text = config_text(samples=False)
    sources = re.findall(r"# source: (\{.*?\})", text)
    assert len(sources) == 4
    for source in sources:
        Config.model_validate({"lines": [{"name": "a", "mode": "learning", "source": yaml.safe_load(source)}]})
    used = re.sub(r"^( *)# ([a-z_]+:|  [a-z_]+:)", r"\1\2", text, flags=re.MULTILINE)
    # Those of the line contradict each other; everything before it may be used at once.
    data = yaml.safe_load(used.partition("\nlines:")[0]) | {"lines": yaml.safe_load(text)["lines"]}
    # The address of a broker is there twice: YAML's last one wins.
    config = Config.model_validate(data)
    assert config.mqtt.url == "mqtts://broker.example"
    assert config.store.url is not None
    assert config.metrics.enabled
