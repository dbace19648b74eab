"""The import rules of the house: agent -> fbclip <- calibrate, and no way back."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {"fbclip": {"agent", "calibrate"}, "calibrate": {"agent"}, "agent": {"calibrate"}}
# The detector has no threads, no database and no network but the weights download.
NOT_IN_FBCLIP = {"threading", "sqlalchemy", "paho", "watchdog", "starlette", "uvicorn", "socket", "requests"}
# Reading these can run code that a file brings along.
UNSAFE = {"pickle.load", "pickle.loads", "yaml.unsafe_load", "yaml.full_load", "eval", "exec"}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


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


def test_the_detector_is_free_of_threads_database_and_network():
    for path in sources("fbclip"):
        tops = {name.split(".")[0] for name in imported(path)}
        assert not tops & NOT_IN_FBCLIP, f"{path.name} imports {tops & NOT_IN_FBCLIP}"


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_import_cycles_inside_a_package(package):
    """A file imports only from lower floors: its imports at the top of the file form no cycle."""
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


@pytest.mark.parametrize("package", FORBIDDEN)
def test_nothing_reads_code_from_files(package):
    for path in sources(package):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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

    from agent.config import loader

    assert issubclass(loader._Loader, yaml.SafeLoader)
