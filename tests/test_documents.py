"""The documents say what is there: links, paths, commands, options and configuration keys, and what CI runs."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic import BaseModel

import agent.cli
import calibrate.cli
import fbclip.cli
from agent.config.sections import Config

ROOT = Path(__file__).parents[1]
PACKAGES = ("agent", "calibrate", "fbclip")
FOLDERS = (*PACKAGES, "deploy", "tests", ".ci")
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(path for folder in (*PACKAGES, "deploy") for path in (ROOT / folder).rglob("*.md"))]
)
COMMANDS = {
    "agent": typer.main.get_command(agent.cli.app),
    "calibrate": typer.main.get_command(calibrate.cli.app),
    "fbclip": typer.main.get_command(fbclip.cli.app),
}
FENCE = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
# Names of files that belong to the repository when they stand alone; .yaml, .json and .csv are the user's.
OWN_SUFFIXES = (".py", ".md", ".toml", ".sh")


def fenced(text: str) -> list[str]:
    """The lines of all code blocks, continued ones joined."""
    return "".join(FENCE.findall(text)).replace("\\\n", " ").splitlines()


def spans(text: str) -> list[str]:
    """Inline code; a span that was broken over two lines is joined."""
    prose = re.sub(r"(?<!\n)\n(?!\n)", " ", FENCE.sub("", text))
    return SPAN.findall(prose)


def words(command: str) -> list[str]:
    try:
        return shlex.split(command, comments=True)
    except ValueError:
        return command.split()


def calls(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """(script, command, what follows) of every call of ours in code blocks and inline code."""
    for line in (*fenced(text), *spans(text)):
        found = words(line)
        for place, word in enumerate(found):
            script = word.removeprefix(".venv/bin/")
            ours = script in COMMANDS and (place == 0 or script != word)
            if ours and place + 1 < len(found) and re.fullmatch(r"[a-z][a-z-]*", found[place + 1]):
                yield script, found[place + 1], found[place + 2 :]


def options(command: Any) -> set[str]:
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}


def anchors(path: Path) -> set[str]:
    """What a link may name of a Markdown file, by GitHub's rule."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def own_files() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    yield from (path for path in ROOT.iterdir() if path.is_file())


NAMES = {path.name for path in own_files()}


def test_the_documents_are_there():
    names = {path.relative_to(ROOT).as_posix() for path in DOCUMENTS}
    assert names >= {
        "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "README.md", "SECURITY.md", "calibrate/README.md",
        "deploy/README.md", "fbclip/README.md", "fbclip/weights/embedded/MODEL_CARD.md",
    }  # fmt: skip


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_a_document_names_exists(document):
    text = document.read_text(encoding="utf-8")
    wrong = [
        *broken_links(document, text),
        *missing_paths(text),
        *unknown_commands(text),
        *unknown_options(text),
        *unknown_keys(text),
    ]
    assert not wrong, "\n".join(wrong)


def broken_links(document: Path, text: str) -> Iterator[str]:
    for target in LINK.findall(FENCE.sub("", text)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = document.parent / name if name else document
        if not path.exists():
            yield f"link to {target}: no such file"
        elif anchor and anchor not in anchors(path):
            yield f"link to {target}: no such heading"


def is_module(path: Path) -> bool:
    """One that Python can run."""
    return path.with_suffix(".py").exists() or (path / "__main__.py").exists()


def missing_paths(text: str) -> Iterator[str]:
    for word in (w for piece in (*spans(text), *fenced(text)) for w in words(piece)):
        path = word.partition("::")[0].rstrip("/")
        parts = path.split("/")
        if parts[0] in FOLDERS and len(parts) > 1 and re.fullmatch(r"[\w./-]+", path):
            if not (ROOT / path).exists():
                yield f"{path}: no such file or folder"
        elif re.fullmatch(r"[\w-]+", Path(path).stem) and path == Path(path).name and path.endswith(OWN_SUFFIXES):
            if path not in NAMES:
                yield f"{path}: no file of this name"
        elif re.fullmatch(r"tests(\.\w+)+", path) and not is_module(ROOT / path.replace(".", "/")):
            yield f"{path}: no such module"


def unknown_commands(text: str) -> Iterator[str]:
    for script, name, rest in calls(text):
        command = COMMANDS[script].commands.get(name)
        if command is None:
            yield f"{script} {name}: no such command"
            continue
        if hasattr(command, "commands"):
            # A group such as `calibrate profile`: its own command is the next word.
            below = command.commands.get(rest[0] if rest else "")
            if below is None:
                if rest:
                    yield f"{script} {name} {rest[0]}: no such command"
                continue
            command = below
        for word in rest:
            option = word.partition("=")[0]
            if re.fullmatch(r"-[a-z]|--[a-z][a-z-]*", option) and option not in options(command):
                yield f"{script} {name} {option}: no such option"


def unknown_options(text: str) -> Iterator[str]:
    """Options that stand in the prose without their command."""
    groups = [
        *COMMANDS.values(),
        *(c for s in COMMANDS.values() for c in s.commands.values() if hasattr(c, "commands")),
    ]
    known = {name for group in groups for command in group.commands.values() for name in options(command)}
    for span in spans(text):
        if span.startswith("--"):
            yield from (f"{name}: no command has it" for name in OPTION.findall(span) if name not in known)


def unknown_keys(text: str) -> Iterator[str]:
    """Keys of agent.yaml, as `store.retention.days` or `lines[].adapter`."""
    for span in spans(text):
        if re.fullmatch(r"(model|mqtt|store|web|lines\[\])(\.[a-z_]+)+", span.partition(":")[0]):
            kind: Any = Config
            for part in span.partition(":")[0].replace("[]", "").split("."):
                fields = kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}
                if part not in fields:
                    yield f"{span}: not in the configuration"
                    break
                kind = fields[part].annotation
                # A tuple of sections, as `lines` is.
                kind = next((a for a in getattr(kind, "__args__", ()) if a is not Ellipsis), kind)


@pytest.mark.parametrize(
    ("check", "text", "says"),
    [
        (missing_paths, "see `agent/nowhere.py`", "agent/nowhere.py"),
        (missing_paths, "`python -m tests.nowhere`", "tests.nowhere"),
        (missing_paths, "see `nowhere.py`", "nowhere.py"),
        (unknown_commands, "```\n.venv/bin/agent fly\n```\n", "agent fly"),
        (unknown_commands, "1. In a list:\n\n   ```\n   agent fly\n   ```\n", "agent fly"),
        (unknown_commands, "`agent fleet fly`", "agent fleet fly"),
        (unknown_commands, "`calibrate data DATA --fly`", "calibrate data --fly"),
        (unknown_commands, "`calibrate profile fly`", "calibrate profile fly"),
        (unknown_commands, "`calibrate profile show P --fly`", "calibrate profile --fly"),
        (unknown_options, "`--fly high`", "--fly"),
        (unknown_keys, "`store.retention.weeks`", "store.retention.weeks"),
        (unknown_keys, "`lines[].wings: 2`", "lines[].wings"),
    ],
)
def test_what_is_not_there_is_found(check, text, says):
    found = list(check(text))
    assert len(found) == 1
    assert found[0].startswith(says)


def test_every_command_is_in_the_readme():
    named = {(script, name) for script, name, _ in calls((ROOT / "README.md").read_text(encoding="utf-8"))}
    assert named == {(script, name) for script, group in COMMANDS.items() for name in group.commands}


def test_hooks_tests_and_ci_run_the_same_checks():
    script = (ROOT / "deploy" / "test.sh").read_text(encoding="utf-8")
    checks = [line for line in script.splitlines() if line.startswith(".venv/bin/")]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    assert checks == [".venv/bin/ruff check .", ".venv/bin/ruff format --check .", ".venv/bin/mypy"]
    assert [hook["entry"] for hook in hooks] == checks
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in hooks)
    assert "bash deploy/test.sh" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_a_wheel_holds_every_file_that_is_not_code():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    patterns = [f"{package.replace('.', '/')}/{p}" for package, globs in data.items() if package != "*" for p in globs]
    for package in PACKAGES:
        assert (ROOT / package / "py.typed").is_file()
        for path in (p for p in own_files() if p.is_relative_to(ROOT / package)):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix == ".py" or path.name in {"py.typed", "README.md"}:
                continue
            assert any(fnmatch(name, pattern.replace("**/*", "*")) for pattern in patterns), name
    assert "py.typed" in data["*"]
