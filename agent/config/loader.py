"""agent.yaml -> Config; what is wrong is named with file, line, field and value, in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from agent.config.sections import Config
from agent.config.yaml_file import read_yaml, shown_key, shown_value
from fbclip.errors import ConfigError


def load_config(path: Path) -> Config:
    """Read and check agent.yaml; raises ConfigError with one line `file:line: field: problem`."""
    root, data = read_yaml(path)
    if isinstance(data, dict):
        # Its default is relative to the file too, which only validation knows.
        data.setdefault("agent", {})
    if not isinstance(data, dict) or root is None:
        raise ConfigError(f"{path}: must be a mapping with the keys agent, model, mqtt, store, web, lines")
    try:
        return Config.model_validate(data, context={"base": path.absolute().parent})
    except ValidationError as error:
        # The cause repeats every value, a secret among them: it is not kept. A list whose items are wrong is also
        # reported as too short: only the items tell the user something.
        problems = [e for e in error.errors() if e["type"] != "too_short"] or error.errors()
        raise ConfigError("; ".join(_explain(path, root, data, e) for e in problems[:5])) from None


def _explain(path: Path, root: yaml.Node, data: Any, error: Any) -> str:
    """One problem as `file:line: field: problem (got value)`; pydantic's union tags are left out of the field."""
    keys: list[str] = []
    node, value, line = root, data, root.start_mark.line
    for part in error["loc"]:
        if isinstance(node, yaml.MappingNode) and isinstance(value, dict) and part in value:
            for key_node, value_node in node.value:
                if key_node.value == str(part):
                    node, line = value_node, key_node.start_mark.line
            value = value[part]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node, value = node.value[part], value[part]
            line = node.start_mark.line
        elif error["type"] != "missing":
            continue
        keys.append(shown_key(part))
    field = ".".join(keys) or "configuration"
    message = _message(error)
    shown = None if isinstance(value, dict | list) or error["type"] in {"missing", "extra_forbidden"} else value
    if shown is not None and (text := shown_value(shown)) is not None:
        message = f"{message} (got {text})"
    return f"{path}:{line + 1}: {field}: {message}"


def _message(error: Any) -> str:
    match error["type"]:
        case "extra_forbidden":
            return "unknown key"
        case "union_tag_invalid":
            # Its own text quotes the value.
            return f"type must be one of {error['ctx']['expected_tags']}"
        case "tuple_type":
            return "must be a list"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be a mapping"
    return " ".join(str(error["msg"]).removeprefix("Value error, ").split())
