"""YAML that a user wrote to plain values: safe, without surprises, and bounded before anything looks at it.

true and false are the only booleans, as in YAML 1.2: in 1.1 the key `on` would be one. Dates stay text. A key that
stands twice is refused, where YAML would silently take the last.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from fbclip.errors import ConfigError

MAX_BYTES = 1 << 20
MAX_DEPTH = 30
MAX_VALUES = 20_000
# What no field can hold, and what Python may not even print.
MAX_INT = 1 << 62
_BOOL, _DATE = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"
_QUOTED = re.compile(r"'[^']{3,}'|\"[^\"]{3,}\"")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


class _Loader(yaml.SafeLoader):
    """Safe, see above."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {shown_key(key.value)} stands twice", key.start_mark
                )
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rows if tag not in {_BOOL, _DATE}]
    for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def read_yaml(path: Path) -> tuple[yaml.Node | None, Any]:
    """The file's nodes, which know their lines, and its values; raises ConfigError with one line."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}") from error
    try:
        root = yaml.compose(text, Loader=_Loader)
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = _QUOTED.sub("…", getattr(error, "problem", None) or "cannot be parsed")
        # The cause quotes the file, which may hold a secret: it is not kept.
        raise ConfigError(f"{where}: not valid YAML: {problem}") from None
    except RecursionError as error:
        raise ConfigError(f"{path}: nested deeper than {MAX_DEPTH} levels") from error
    except (ValueError, OverflowError, TypeError):
        # The cause quotes the value.
        raise ConfigError(f"{path}: not valid YAML: a number or value that is none") from None
    if (excess := _excess(data)) is not None:
        raise ConfigError(f"{path}: {excess}")
    return root, data


def shown_key(key: object) -> str:
    """A key for people; what does not look like one may be a secret in the wrong place."""
    text = str(key)
    return text if re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", text) else "…"


def shown_value(value: object) -> str | None:
    """A value for people; None for one that is long, or could be an address with its password."""
    if isinstance(value, str) and not re.fullmatch(r"[\w .:/+-]{0,60}", value):
        return None
    text = repr(value)
    return None if "//" in text or "password" in text.lower() or len(text) > 64 else text


def _excess(data: Any) -> str | None:
    """Why the values are refused as a whole; aliases count as often as they are used."""
    waiting = [(data, 1)]
    count = 0
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if depth > MAX_DEPTH:
            return f"nested deeper than {MAX_DEPTH} levels"
        if count > MAX_VALUES:
            return f"more than {MAX_VALUES} values"
        if isinstance(value, dict):
            waiting += [(item, depth + 1) for pair in value.items() for item in pair]
        elif isinstance(value, list | tuple | set):
            waiting += [(item, depth + 1) for item in value]
        elif isinstance(value, str) and _CONTROL.search(value):
            return "a text holds a control character"
        elif isinstance(value, int) and abs(value) > MAX_INT:
            return "a number is too large"
    return None
