"""agent.yaml: what is wrong is named with file, line, field and value."""

import pytest

from agent.config.loader import load_config
from agent.records import EventKind
from fbclip.errors import ConfigError

NORMAL = """\
agent: {name: a}
lines:
  - name: belt
    source: {type: video, path: v.mp4}
    profile: p.yaml
    alert:
      on: [anomaly, uncertain]
      n: 2
      m: 3
"""


def load(tmp_path, text):
    path = tmp_path / "agent.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def test_paths_are_relative_to_the_file_and_on_is_a_key(tmp_path):
    config = load(tmp_path, NORMAL)
    line = config.lines[0]
    assert line.profile == tmp_path / "p.yaml"
    assert line.source.path == tmp_path / "v.mp4"
    assert line.alert.on == (EventKind.ANOMALY, EventKind.UNCERTAIN)
    assert config.agent.data_dir == tmp_path / "var"
    assert config.store_url == f"sqlite:///{tmp_path}/var/agent.db"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("      m: 3", "      m: 3\n      k: 1", ":10: lines.0.alert.k: unknown key"),
        ("      m: 3", "      m: 1", ":6: lines.0.alert: n 2 is larger than m 1"),
        ("name: belt", "name: Belt", ":3: lines.0.name: String should match pattern '^[a-z0-9_-]{1,64}$' (got 'Belt')"),
        ("name: belt", "name: cmd", "reserved topic word"),
        ("type: video", "type: radio", ":4: lines.0.source"),
        ("path: v.mp4", "path: v.mp4, loop: maybe", ":4: lines.0.source.loop"),
        ("    profile: p.yaml\n", "", "mode live needs a profile"),
        ("agent: {name: a}", "agent: {name: a}\nmqtt: {url: 'mqtt://me:secret@host'}", "must not hold credentials"),
        ("agent: {name: a}", "agent: {name: a}\nweb: {listen: '0.0.0.0:80'}", "set web.token_env"),
        ("agent: {name: a}", "agent: {name: a}\nmqtt: {url: 'embedded://0.0.0.0:1883'}", "loopback only"),
        ("agent: {name: a}", "agent: [", "not valid YAML"),
        ("agent: {name: a}", "agent: !!python/object:os.system {}", "not valid YAML"),
    ],
)
def test_problems_are_named(tmp_path, old, new, says):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, NORMAL.replace(old, new))
    assert says in str(caught.value)
    assert str(tmp_path / "agent.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_secrets_are_not_repeated(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, NORMAL.replace("agent: {name: a}", "mqtt: {url: 'mqtt://me:hunter2@host'}"))
    assert "hunter2" not in str(caught.value)
    camera = NORMAL.replace("type: video, path: v.mp4", "type: camera, url: 'rtsp://me:hunter2@cam/1'")
    with pytest.raises(ConfigError, match="url_env") as caught:
        load(tmp_path, camera)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "second",
    [
        "{name: belt, source: {type: folder, path: in}, profile: p.yaml}",
        "{name: b, source: {type: folder, path: in, done: in/done}, profile: p.yaml}",
        "{name: b, source: {type: folder, path: in, done: out, failed: out}, profile: p.yaml}",
        "{name: b, source: {type: camera}, profile: p.yaml}",
    ],
)
def test_lines_that_contradict_are_refused(tmp_path, second):
    with pytest.raises(ConfigError):
        load(tmp_path, NORMAL + f"  - {second}\n")


@pytest.mark.parametrize("content", ["", "- 1", "just text", "lines: []"])
def test_files_that_are_no_configuration(tmp_path, content):
    with pytest.raises(ConfigError):
        load(tmp_path, content)
    with pytest.raises(ConfigError, match="no such file"):
        load_config(tmp_path / "missing.yaml")
