"""The published schemas: as the models are now, fitting what is shipped, and refusing what the agent refuses."""

import inspect
import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from referencing import Registry, Resource

from agent.commands.schema import schema_files
from agent.config.loader import load_config
from agent.mqtt.home_assistant import image_topic
from agent.mqtt.payloads import Topics, event_body, result_body, stamp
from agent.records import EventKind, EventStep, StepType
from agent.steering.commands import VERBS
from fbclip.decision import Verdict
from tests.factories.agent import COMMITTED, an_inspection

ROOT = Path(__file__).parents[3]
SCHEMAS = ROOT / "deploy" / "schemas"
IDENTITY = {"message_id": "m", "stream_id": "s", "message_seq": 1}


def checker(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((SCHEMAS / name).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def problems(name: str, value: object) -> list[str]:
    return [error.message for error in checker(name).iter_errors(value)]


def test_the_files_are_what_the_models_say_now():
    """Made anew by `agent schema --out deploy/schemas`."""
    here = {path.relative_to(SCHEMAS).as_posix() for path in SCHEMAS.rglob("*") if path.is_file()}
    files = schema_files()
    assert here == set(files)
    stale = [name for name, text in files.items() if (SCHEMAS / name).read_text(encoding="utf-8") != text]
    assert stale == [], "run `agent schema --out deploy/schemas`"


def test_an_editor_finds_the_schema_of_the_shipped_configuration():
    text = (ROOT / "agent.yaml").read_text(encoding="utf-8")
    assert text.splitlines()[0] == "# yaml-language-server: $schema=deploy/schemas/agent.schema.json"
    assert problems("agent.schema.json", yaml.safe_load(text)) == []


@pytest.mark.parametrize(
    ("source", "fits"),
    [
        ({"type": "folder", "path": "in"}, True),
        ({"type": "folder"}, False),
        ({"type": "dicom"}, True),
        ({"type": "camera", "device": 0, "wings": 2}, False),
        ({"type": "film", "path": "in"}, False),
    ],
)
def test_the_schema_takes_what_the_agent_takes(source, fits, tmp_path):
    data = {"lines": [{"name": "a", "mode": "learning", "source": source}]}
    assert (problems("agent.schema.json", data) == []) is fits
    file = tmp_path / "agent.yaml"
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    if fits:
        load_config(file)
    else:
        with pytest.raises(Exception, match=r"agent\.yaml"):
            load_config(file)


@pytest.mark.parametrize("name", ["belt", "inbox"])
def test_shipped_profiles_fit_their_schema(name):
    data = yaml.safe_load((ROOT / "deploy" / "samples" / "profiles" / f"{name}.yaml").read_text(encoding="utf-8"))
    assert problems("profile.schema.json", data) == []
    assert problems("profile.schema.json", {**data, "treshold": 1}) != []
    assert problems("profile.schema.json", {k: v for k, v in data.items() if k != "schema"}) != []


def test_messages_fit_their_schema_and_later_fields_do_no_harm():
    step = EventStep("e1", EventKind.ANOMALY, StepType.NEW, "belt", COMMITTED)
    event = {**event_body("demo", step, an_inspection(Verdict.ANOMALY)), **IDENTITY}
    event = stamp(event, COMMITTED, COMMITTED, "r", "r")
    assert problems("mqtt/event.schema.json", event) == []
    assert problems("mqtt/event.schema.json", {**event, "new": 1}) == []
    assert problems("mqtt/event.schema.json", {**event, "kind": "odd"}) != []
    result = stamp({**result_body("demo", an_inspection()), **IDENTITY}, COMMITTED, COMMITTED, "r", "r")
    assert problems("mqtt/result.schema.json", result) == []
    assert problems("mqtt/result.schema.json", {**result, "image": None}) != []


def test_commands_with_a_slip_are_refused():
    assert problems("mqtt/cmd-trigger.schema.json", {"line": "belt", "part": {"id": 4711}}) == []
    assert problems("mqtt/cmd-trigger.schema.json", {"line": "belt", "parts": 1}) != []


def test_the_description_of_the_topics_has_each_topic_and_its_references_resolve():
    document = yaml.safe_load((SCHEMAS / "asyncapi.yaml").read_text(encoding="utf-8"))
    whole = Resource.opaque(document)
    registry = Registry().with_resource("", whole)
    references = list(_references(document))
    for reference in references:
        if reference.startswith("#"):
            assert registry.resolver().lookup(reference).contents
        else:
            assert (SCHEMAS / reference).is_file(), reference
    files = {(SCHEMAS / r).resolve() for r in references if not r.startswith("#")}
    assert files == {path.resolve() for path in (SCHEMAS / "mqtt").iterdir()}
    assert {channel["address"] for channel in document["channels"].values()} == _every_topic()
    used = {operation["channel"]["$ref"] for operation in document["operations"].values()}
    assert used == {f"#/channels/{name}" for name in document["channels"]}


def _references(node: object) -> list[str]:
    if isinstance(node, list):
        return [found for item in node for found in _references(item)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if "$ref" in node else []
    return own + [found for value in node.values() for found in _references(value)]


def _every_topic() -> set[str]:
    topics = Topics("{prefix}", "{agent}")
    own = {getattr(topics, name) for name, kind in vars(Topics).items() if isinstance(kind, property)}
    of_lines = {getattr(topics, name)("{line}") for name, kind in vars(Topics).items() if inspect.isfunction(kind)
                and not name.startswith("_")}  # fmt: skip
    commands = {topics.commands.removesuffix("+") + verb for verb in VERBS}
    return (own - {topics.root, topics.commands}) | of_lines | commands | {image_topic(topics, "{line}")}
