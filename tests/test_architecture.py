"""The rules of the house: which way imports run, one name for one thing, and nothing that runs code from a file."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("agent", "calibrate", "fbclip")
FORBIDDEN = {"fbclip": {"agent", "calibrate"}, "calibrate": {"agent"}, "agent": {"calibrate"}}
# The detector has no threads, no database and no network but the weights download.
NOT_IN_FBCLIP = {"threading", "sqlalchemy", "paho", "watchdog", "starlette", "uvicorn", "socket", "requests"}
# Reading these can run code that a file brings along.
UNSAFE = {"pickle.load", "pickle.loads", "yaml.unsafe_load", "yaml.full_load", "eval", "exec"}
# Lowest floor first. A folder, or a file beside the folders, imports from itself and from lower floors.
FLOORS = {
    "fbclip": (
        {"errors", "frozen", "files", "process_memory"},
        {"manifest", "command"},
        {"images"},
        {"features", "picture_health"},
        {"backbone"},
        {"method"},
        {"peers"},
        {"decision"},
        {"memory"},
        {"artefacts"},
        {"runtime"},
        {"engines"},
        {"batches"},
        {"detector", "export"},
        {"installation"},
        {"bench", "verification"},
        {"cli"},
    ),
    "calibrate": (
        {"errors", "wording"},
        {"documents", "processes"},
        {"statistics"},
        {"datasets"},
        {"metrics"},
        {"surfaces"},
        {"defects"},
        {"methods"},
        {"inference"},
        {"memory"},
        {"threshold", "tuning"},
        {"profiles", "parity"},
        {"evaluation"},
        {"few_shot", "paper"},
        {"report"},
        {"line"},
        {"embedded", "verification"},
        {"commands"},
        {"cli"},
        {"__main__"},
    ),
    "agent": (
        {"errors", "records", "heartbeat", "ports"},
        {"config", "privacy"},
        {"rules", "sources", "store"},
        {"mqtt", "drift"},
        {"pipeline"},
        {"web", "line_states", "patience", "collecting", "exporting"},
        {"lineup"},
        {"steering"},
        {"health", "mending", "schemas", "backup", "fleet"},
        {"notify", "metrics", "plant", "plc"},
        {"parts"},
        {"health_report"},
        {"app"},
        {"commands"},
        {"cli"},
    ),
}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def trees(package: str) -> list[tuple[Path, ast.Module]]:
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in sources(package)]


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                # `from package import module` depends on the module, not on the package's front.
                file = ROOT / (node.module or "").replace(".", "/") / f"{alias.name}.py"
                names.add(f"{node.module}.{alias.name}" if file.is_file() else node.module or "")
    return names


@pytest.mark.parametrize("package", FORBIDDEN)
def test_packages_import_one_way(package):
    assert sources(package)
    for path in sources(package):
        tops = {name.split(".")[0] for name in imported(path)}
        assert not tops & FORBIDDEN[package], f"{path.name} imports {tops & FORBIDDEN[package]}"


@pytest.mark.parametrize("package", PACKAGES)
def test_folders_stand_on_floors_and_import_only_downwards(package):
    floor_of = {name: floor for floor, names in enumerate(FLOORS[package]) for name in names}
    climbs = set()
    for path in sources(package):
        parts = path.relative_to(ROOT / package).with_suffix("").parts
        if parts == ("__init__",):
            continue
        assert parts[0] in floor_of, f"{package}/{parts[0]} stands on no floor"
        for name in imported(path):
            top, *rest = name.split(".")
            if top == package and rest and rest[0] != parts[0] and floor_of[rest[0]] >= floor_of[parts[0]]:
                climbs.add(f"{'/'.join(parts)} -> {name}")
    assert not climbs, sorted(climbs)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_import_cycles_inside_a_package(package):
    graph = {}
    for path in sources(package):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        graph[name] = imported(path)
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name in done:
            return
        for target in graph[name]:
            if target in graph and target != name:
                visit(target, (*trail, name))
        done.add(name)

    for name in graph:
        visit(name, ())


def test_the_detector_is_free_of_threads_database_and_network():
    for path in sources("fbclip"):
        tops = {name.split(".")[0] for name in imported(path)}
        assert not tops & NOT_IN_FBCLIP, f"{path.name} imports {tops & NOT_IN_FBCLIP}"


def test_the_detector_starts_no_process_but_the_decoders():
    starters = {path.name for path in sources("fbclip") if imported(path) & {"subprocess", "multiprocessing"}}
    assert starters == {"decode_process.py"}


def test_class_names_are_unique_across_the_packages():
    found = defaultdict(list)
    for package in PACKAGES:
        for path, tree in trees(package):
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found[node.name].append(str(path.relative_to(ROOT)))
    assert found
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}


def test_the_cause_of_an_error_is_dropped_only_with_a_reason():
    """`from None` hides what went wrong from the log, so a comment says why nobody may see it."""
    for package in PACKAGES:
        for path in sources(package):
            lines = path.read_text(encoding="utf-8").splitlines()
            for number, line in enumerate(lines):
                if re.search(r"\bfrom None\b", line):
                    near = "\n".join(lines[max(0, number - 8) : number + 1])
                    assert "#" in near, f"{path.relative_to(ROOT)}:{number + 1}: from None without a comment"


def test_tests_import_no_test():
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for name in imported(path):
            assert not re.search(r"(^|\.)test_\w+$", name), f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_reads_code_from_files(package):
    for path, tree in trees(package):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in UNSAFE, f"{path.name}:{node.lineno}"
                if ast.unparse(node.func) == "yaml.load":
                    assert ast.unparse(node.keywords[0].value) == "_Loader", f"{path.name}:{node.lineno}"
                if ast.unparse(node.func) == "torch.load":
                    safe = [k for k in node.keywords if k.arg == "weights_only"]
                    assert safe, f"{path.name}:{node.lineno}: torch.load without weights_only"
                    assert ast.unparse(safe[0].value) == "True"


def test_the_configuration_is_loaded_safely():
    import yaml

    from agent.config import yaml_file

    assert issubclass(yaml_file._Loader, yaml.SafeLoader)
