"""agent.yaml: what is wrong is named with file, line, field and value."""

import re
from pathlib import Path

import pytest

from agent.config.loader import load_config
from agent.records import EventKind, ResultChoice
from fbclip.errors import ConfigError

ROOT = Path(__file__).parents[3]
NORMAL = """\
agent: {name: a}
lines:
  - name: belt
    source: {type: video, path: v.mp4}
    profile: p.yaml
    alert:
      for: [anomaly, uncertain]
      n: 2
      m: 3
"""


def load(tmp_path, text):
    path = tmp_path / "agent.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def test_paths_are_relative_to_the_file(tmp_path):
    config = load(tmp_path, NORMAL)
    line = config.lines[0]
    assert line.profile == tmp_path / "p.yaml"
    assert line.source.path == tmp_path / "v.mp4"
    assert line.alert.kinds == (EventKind.ANOMALY, EventKind.UNCERTAIN)
    assert config.agent.data_dir == tmp_path / "var"
    assert config.store_url == f"sqlite:///{tmp_path}/var/agent.db"


@pytest.mark.parametrize("key", ["for", "on", "'on'", "true"])
def test_which_kinds_alert_may_be_said_as_writers_of_yaml_leave_it(tmp_path, key):
    line = load(tmp_path, NORMAL.replace("for:", f"{key}:")).lines[0]
    assert line.alert.kinds == (EventKind.ANOMALY, EventKind.UNCERTAIN)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("      m: 3", "      m: 3\n      k: 1", ":10: lines.0.alert.k: unknown key"),
        ("      m: 3", "      m: 1", ":6: lines.0.alert: n 2 is larger than m 1"),
        ("      m: 3", "      m: 3\n      on: [anomaly]", "for and on are the same"),
        ("for: [anomaly", "for: [anomalous", "lines.0.alert.for.0"),
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


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("trigger: mqtt", "trigger: bell", ":4: lines.0.source.trigger"),
        ("trigger: mqtt", "frames: 2", ":4: lines.0.source: frames: only with trigger: mqtt or trigger: interval"),
        ("trigger: mqtt", "trigger: interval", "interval_s belongs to trigger: interval, which needs it"),
        ("trigger: mqtt", "trigger: mqtt, interval_s: 1", "interval_s belongs to trigger: interval"),
        ("trigger: mqtt", "trigger: interval, interval_s: 1, queue: 2", "an interval waits for the one before"),
        ("trigger: mqtt", "trigger: mqtt, answer_s: 0", ":4: lines.0.source.answer_s"),
        ("trigger: mqtt", "trigger: mqtt, answer_s: 1, delay_s: 1", "leaves no time for the answer in answer_s 1"),
        ("trigger: mqtt", "trigger: mqtt, frames: 16, queue: 5", "is more than 64 images in memory"),
        ("realtime: true", "realtime: false", ":4: lines.0.source: trigger: mqtt needs realtime: true"),
        ("profile: p.yaml", "profile: p.yaml\n    results: every", ":3: lines.0: results: only for continuous cameras"),
        (
            "type: video, path: v.mp4, realtime: true",
            "type: folder, path: in",
            ":4: lines.0.source.trigger: unknown key",
        ),
    ],
)
def test_triggers_that_contradict_are_refused(tmp_path, old, new, says):
    triggered = NORMAL.replace("path: v.mp4", "path: v.mp4, realtime: true, trigger: mqtt")
    assert load(tmp_path, triggered).lines[0].is_triggered
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, triggered.replace(old, new))
    assert says in str(caught.value)


def test_results_of_a_continuous_camera_are_chosen(tmp_path):
    text = NORMAL.replace("path: v.mp4", "path: v.mp4, realtime: true")
    assert load(tmp_path, text).lines[0].results is ResultChoice.NONE
    changes = load(tmp_path, text.replace("profile: p.yaml", "profile: p.yaml\n    results: changes"))
    assert changes.lines[0].results is ResultChoice.CHANGES


@pytest.mark.parametrize(
    ("store", "more", "says"),
    [
        ("{}", "", "line in: source.shared needs a PostgreSQL server that all agents of the folder use; name it as"),
        ("{url: 'sqlite:////data/agent.db'}", "", "needs a PostgreSQL server"),
        ("{url: 'postgresql://db/plant'}", ", after: leave", "after: leave: not with shared: true"),
        ("{url: 'postgresql://db/plant'}", ", series_s: 5", "series_s: not with shared: true"),
        ("{url: 'postgresql://db/plant'}", ", judge: content", "judge: content and series_s: not with shared"),
    ],
)
def test_what_agents_of_one_folder_cannot_do_is_refused(tmp_path, store, more, says):
    line = "{name: in, mode: learning, source: {type: folder, path: in, shared: true%s}}"
    with pytest.raises(ConfigError, match=says):
        load(tmp_path, f"store: {store}\nlines: [{line % more}]\n")
    good = f"store: {{url: 'postgresql://db/plant'}}\nlines: [{line % ''}]\n"
    assert load(tmp_path, good).lines[0].source.shared
    with pytest.raises(ConfigError, match="phi needs the database in agent"):
        load(tmp_path, good.replace("mode: learning", "mode: learning, privacy: phi"))
    with pytest.raises(ConfigError, match="not with type: dicom"):
        load(tmp_path, good.replace("type: folder, path: in", "type: dicom"))


def test_the_example_of_several_agents_on_one_folder_is_a_configuration(tmp_path):
    guide = (ROOT / "deploy" / "docs" / "scale-out.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```yaml\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    assert load(tmp_path, example).lines[0].source.shared
