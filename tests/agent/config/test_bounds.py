"""Whatever a configuration holds, it is used or refused in one line, which repeats no password."""

import random
import types
import typing

import annotated_types
import pytest
from pydantic import BaseModel

from agent.config.base import Section
from agent.config.loader import load_config
from agent.config.sections import Config
from agent.config.source import SourceSection
from fbclip.errors import ConfigError

WHOLE = """\
agent: {name: a, data_dir: var}
model: {backbone: embedded, device: cpu, batch: 8, threads: 1}
mqtt: {url: "mqtt://127.0.0.1:1884", prefix: fbclip, username: u, password_env: PW}
store:
  url: sqlite:///var/x.db
  retention: {days: 30, anomaly_days: 90, rows: 100000, database_mb: 100, pictures_mb: 100, min_free_mb: 5, ok_every: 2}
web: {listen: "127.0.0.1:8088"}
lines:
  - name: cam
    source: {type: camera, device: 0, max_fps: 5, stall_s: 4}
    mode: learning
  - name: inbox
    source: {type: folder, path: in, settle_s: 1, rescan_s: 5, recursive: true}
    profile: p.yaml
    mode: live
    alert: {on: [anomaly, no_verdict], n: 1, m: 2, close_after_ok: 3, max_open_s: 60}
"""
SECRET = "hunter2"
NASTY = (
    ".inf", "-.inf", ".nan", "1e400", "-1", "999999", "1" * 5000, "0x" + "f" * 5000, "1" * 30, "2026-13-45",
    "2026-01-02", "[" * 200 + "]" * 200, "{a: {a: {a: b}}}", '"a\\0b"', '"\\uD800"', "~nobody-here/x", "x" * 5000,
    "!!python/name:os.system", "!!binary aGk=", "!!set {a, b}", "&x [*x]", "*nothing", "true", "~", "1:30", "\x07",
    "{? [a] : b}",
    f"rtsp://user:{SECRET}@host/1", f"'rtsp://h/user=u&password={SECRET}'", f"mqtt://me:{SECRET}",
    f"mqtt://[{SECRET}", f"user:{SECRET}@host", f"postgresql://u:{SECRET}@h:p/db", f"*u:{SECRET}@h", f"!u:{SECRET}@h x",
    f"'x' 'u:{SECRET}@h'", f"{{'rtsp://u:{SECRET}@h': 1}}", f"mqtt://me:{SECRET}/x@host:99999999",
)  # fmt: skip


def load(tmp_path, text):
    path = tmp_path / "agent.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return load_config(path)


def refusal(tmp_path, text) -> str | None:
    """Why it is refused, None if it is not; anything but a ConfigError fails the test."""
    try:
        load(tmp_path, text)
    except ConfigError as error:
        assert "\n" not in str(error) and SECRET not in str(error) and len(str(error)) < 2000, text
        assert error.__cause__ is None or SECRET not in str(error.__cause__)
        return str(error)
    return None


def mutated(random_: random.Random) -> str:
    lines = WHOLE.splitlines()
    for _ in range(random_.randint(1, 3)):
        number = random_.randrange(len(lines))
        line = lines[number]
        kind = random_.randrange(5)
        if kind == 0 and ": " in line:
            places = [i for i in range(len(line) - 1) if line[i : i + 2] == ": "]
            start = random_.choice(places) + 2
            end = next((i for i in range(start, len(line)) if line[i] in ",}"), len(line))
            lines[number] = line[:start] + random_.choice(NASTY) + line[end:]
        elif kind == 1:
            lines.insert(number, line)
        elif kind == 2 and len(lines) > 2:
            del lines[number]
        elif kind == 3 and line:
            place = random_.randrange(len(line))
            lines[number] = line[:place] + random_.choice(":{}[]\"'&*!%@`\t\0 é\ufeff#-") + line[place + 1 :]
        else:
            lines[number] = line.replace(":", ": " + random_.choice(NASTY) + " :", 1)
    return "\n".join(lines)


def test_five_hundred_mutated_configurations(tmp_path):
    assert refusal(tmp_path, WHOLE) is None
    random_ = random.Random(16)
    refused = [refusal(tmp_path, mutated(random_)) for _ in range(500)]
    assert 300 < sum(text is not None for text in refused) < 500


@pytest.mark.parametrize("value", NASTY)
def test_every_value_in_every_place(tmp_path, value):
    for old in (
        "days: 30",
        "device: 0",
        "name: a",
        "batch: 8",
        "settle_s: 1",
        "type: folder",
        "path: in",
        "max_fps: 5",
    ):
        key = old.split(":")[0]
        refusal(tmp_path, WHOLE.replace(old, f"{key}: {value}", 1))
    for line in ("username: u", 'url: "mqtt://127.0.0.1:1884"', 'listen: "127.0.0.1:8088"', "url: sqlite:///var/x.db"):
        refusal(tmp_path, WHOLE.replace(line, f"{line.split(':')[0]}: {value}", 1))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("settle_s: 1", "settle_s: .inf", "lines.1.source.settle_s: Input should be a finite number"),
        ("days: 30", "days: 999999", "store.retention.days: Input should be less than or equal to 36500 (got 999999)"),
        ("pictures_mb: 100", "pictures_mb: .inf", "pictures_mb: Input should be a finite number"),
        ("device: 0", "device: 99999999999", "device: Input should be less than or equal to 1023"),
        ("name: a", "name: 2026-13-45x", None),
        ("    mode: live\n", "    mode: live\n    mode: shadow\n", ":16: not valid YAML: the key mode stands twice"),
        ("web: {", "mqtt: {url: 'embedded://127.0.0.1:1883'}\nweb: {", "the key mqtt stands twice"),
        ("type: folder", "type: radio", "type must be one of 'camera', 'video', 'folder'"),
        ("batch: 8", "batch: " + "[" * 40 + "]" * 40, "nested deeper than 30 levels"),
        ("batch: 8", "batch: " + "[" * 5000 + "]" * 5000, "nested deeper than 30 levels"),
        ("path: in", 'path: "in\\0"', "a text holds a control character"),
        ("path: in", "path: " + "x" * 4100, "a path has at most 4000 bytes"),
        ("mqtt://127.0.0.1:1884", f"mqtt://me:{SECRET}", "not an address: the port is a number up to 65535"),
    ],
)
def test_refusals_say_what_is_wrong(tmp_path, old, new, says):
    text = refusal(tmp_path, WHOLE.replace(old, new, 1))
    assert text is None if says is None else says in text


def test_aliases_that_unfold_to_millions_are_refused(tmp_path):
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefg", "bcdefgh", strict=True)
    )
    assert "more than 20000 values" in refusal(tmp_path, bomb)


def test_the_key_on_as_other_writers_spell_it(tmp_path):
    config = load(tmp_path, WHOLE.replace("on: [anomaly, no_verdict]", "true: [anomaly]"))
    assert [kind.value for kind in config.lines[1].alert.kinds] == ["anomaly"]


def sections(kind) -> set[type[BaseModel]]:
    """A section and all that it is made of."""
    found: set[type[BaseModel]] = set()
    waiting = [kind, SourceSection]
    while waiting:
        each = waiting.pop()
        if isinstance(each, type) and not isinstance(each, types.GenericAlias) and issubclass(each, Section):
            if each not in found:
                found.add(each)
                waiting += [field.annotation for field in each.model_fields.values()]
        else:
            waiting += typing.get_args(each)
    return found


def test_every_number_has_two_bounds():
    count = 0
    for section in sections(Config):
        for name, field in section.model_fields.items():
            kinds = {field.annotation, *typing.get_args(field.annotation)}
            if not kinds & {int, float}:
                continue
            metadata = [*field.metadata, *(m for k in kinds for m in getattr(k, "__metadata__", ()))]
            low = any(isinstance(m, annotated_types.Ge | annotated_types.Gt) for m in metadata)
            high = any(isinstance(m, annotated_types.Le | annotated_types.Lt) for m in metadata)
            assert low and high, f"{section.__name__}.{name}"
            assert section.model_config["allow_inf_nan"] is False
            count += 1
    assert count >= 18
