"""Bytes become a command or one line that says what is wrong with them."""

import json

import pytest

from agent.steering.commands import (
    MAX_PAYLOAD_BYTES,
    VERBS,
    CommandError,
    DisableCommand,
    ProfileCommand,
    ReloadCommand,
    ThresholdCommand,
    TriggerCommand,
    correlation_of,
    parse,
)


@pytest.mark.parametrize(
    ("verb", "body", "command"),
    [
        ("reload", b"", ReloadCommand()),
        ("disable", b'{"line": "belt", "by": "ann", "correlation_id": "7"}',
         DisableCommand(line="belt", by="ann", correlation_id="7")),
        ("profile", b'{"line": "belt", "profile": "p/2.yaml"}', ProfileCommand(line="belt", profile="p/2.yaml")),
        ("profile", b'{"line": "belt", "rollback": true}', ProfileCommand(line="belt", rollback=True)),
        ("trigger", b'{"line": "belt"}', TriggerCommand(line="belt")),
        ("trigger", b'{"line": "belt", "part": {"tray": [1, "b"]}, "frames": 2}',
         TriggerCommand(line="belt", part={"tray": [1, "b"]}, frames=2)),
        ("threshold", b'{"line": "belt", "threshold": 2.5}', ThresholdCommand(line="belt", threshold=2.5)),
        ("threshold", b'{"line": "belt", "threshold": null}', ThresholdCommand(line="belt", threshold=None)),
    ],
)  # fmt: skip
def test_a_command_is_read(verb, body, command):
    assert parse(verb, body) == command


@pytest.mark.parametrize(
    ("verb", "body", "says"),
    [
        ("fly", b"{}", "no such command; there are reload"),
        ("../reload", b"", "no such command"),
        ("enable", b"", "line: Field required"),
        ("enable", b'{"line": "Belt!"}', "line: String should match"),
        ("enable", b'{"line": 3}', "line: "),
        ("enable", b'{"line": "belt", "when": "now"}', "when: unknown field"),
        ("enable", b"[]", "must be a JSON object"),
        ("enable", b"{", "not valid JSON"),
        ("enable", b"\xff\xfe", "not valid JSON"),
        ("enable", b"[" * 5000, "not valid JSON"),
        ("trigger", b'{"line": "belt", "part": 1e999}', "part: must be a JSON value that can be sent back"),
        ("trigger", b'{"line": "belt", "part": "\\ud800"}', "part: "),
        ("trigger", b'{"line": "belt", "part": "' + b"x" * 600 + b'"}', "part: larger than 512 bytes"),
        ("trigger", b'{"line": "belt", "part": ' + b"[" * 256 + b"]" * 256 + b"}", "part."),
        ("trigger", b'{"line": "belt", "frames": 17}', "frames: "),
        ("trigger", b'{"part": 1}', "line: Field required"),
        ("threshold", b'{"line": "belt", "threshold": NaN}', "not valid JSON"),
        ("threshold", b'{"line": "belt", "threshold": 1e999}', "threshold: Input should be a finite number"),
        ("threshold", b'{"line": "belt"}', "threshold: Field required"),
        ("threshold", b'{"line": "belt", "threshold": "2"}', "threshold: "),
        ("profile", b'{"line": "belt"}', "needs either profile or rollback"),
        ("profile", b'{"line": "belt", "profile": "a", "rollback": true}', "needs either"),
        ("profile", b'{"line": "belt", "profile": "a\\u0000b"}', "profile: "),
        ("ack", b'{"event_id": "a\\nb"}', "event_id: "),
        ("feedback", b'{"inspection_id": 0, "label": "normal"}', "inspection_id: "),
        ("feedback", b'{"inspection_id": 99999999999999999999, "label": "normal"}', "inspection_id: "),
        ("feedback", b'{"inspection_id": 1, "label": "good"}', "label: "),
        ("reload", b" " * (MAX_PAYLOAD_BYTES + 1), "larger than"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_in_one_line(verb, body, says):
    with pytest.raises(CommandError) as caught:
        parse(verb, body)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("verb", VERBS)
def test_random_changes_give_a_command_or_a_refusal(verb):
    import random

    random.seed(verb)
    good = json.dumps({"line": "belt", "threshold": 1.5, "profile": "p.yaml", "event_id": "e", "by": "ann"}).encode()
    for _ in range(300):
        body = bytearray(good)
        for _ in range(random.randint(1, 6)):
            body[random.randrange(len(body))] = random.randrange(256)
        try:
            parse(verb, bytes(body))
        except CommandError as error:
            assert "\n" not in str(error)


def test_the_refusal_of_a_wrong_command_still_finds_who_asked():
    assert correlation_of(b'{"correlation_id": "7", "x": 1}') == "7"
    for body in (b"", b"[]", b"{", b'{"correlation_id": 7}', b'{"correlation_id": "a\\nb"}'):
        assert correlation_of(body) is None
