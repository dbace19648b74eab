"""agent.yaml -> Config; what is wrong is named with file, line, field and value, in one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from agent.config.sections import Config
from fbclip.errors import ConfigError

MAX_CONFIG_BYTES = 1 << 20


class _Loader(yaml.SafeLoader):
    """Safe, and true and false are the only booleans, as in YAML 1.2: in 1.1 the key `on` would be one."""


_BOOL = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rows if tag != _BOOL]
    for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def load_config(path: Path) -> Config:
    """Read and check agent.yaml; raises ConfigError with one line `file:line: field: problem`."""
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_CONFIG_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=_Loader)
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        # The cause quotes the file, which may hold a secret: it is not kept.
        raise ConfigError(f"{where}: not valid YAML: {getattr(error, 'problem', None) or 'cannot be parsed'}") from None
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
    keys: list[str | int] = []
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
        keys.append(part)
    field = ".".join(map(str, keys)) or "configuration"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "unknown key"
    elif not isinstance(value, dict | list) and error["type"] != "missing" and "@" not in str(value):
        # A value with an @ may be an address with its password.
        message = f"{message} (got {value!r})"
    return f"{path}:{line + 1}: {field}: {message}"
