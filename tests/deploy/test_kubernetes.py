"""The manifests: valid by Kubernetes' own schemas, tied together, and nothing in them may do more than it must."""

import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import typer
import yaml

import calibrate.cli
from agent.config.loader import load_config

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
VERSION = "1.31"
MANIFESTS = [path for path in sorted(FOLDER.glob("*.yaml")) if path.name not in {"kustomization.yaml", "agent.yaml"}]
DOCUMENTS = [document for path in MANIFESTS for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))]


needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


def of_kind(kind: str) -> list[dict]:
    return [document for document in DOCUMENTS if document["kind"] == kind]


def pods() -> list[dict]:
    return [document["spec"]["template"]["spec"] for document in (*of_kind("DaemonSet"), *of_kind("Job"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d["kind"])
def test_manifests_are_valid_and_have_no_unknown_field(document):
    kubernetes_validate.validate(document, VERSION, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**document, "spac": {}}, VERSION, strict=True)


def test_the_kustomization_names_every_file_but_the_jobs():
    whole = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
    assert set(whole["resources"]) == {path.name for path in MANIFESTS if not path.name.endswith("-job.yaml")}
    # `kubectl create -f` of a file starts all that is in it.
    assert all(path.read_text(encoding="utf-8").count("kind:") == 1 for path in FOLDER.glob("*-job.yaml"))
    (lines,) = whole["configMapGenerator"]
    (daemon,) = of_kind("DaemonSet")
    volumes = {v["name"]: v for v in daemon["spec"]["template"]["spec"]["volumes"]}
    assert volumes["lines"]["configMap"]["name"] == lines["name"]
    assert all((FOLDER / file).is_file() for file in lines["files"])


def built_by_kubectl(folder: Path) -> dict[str, dict]:
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    documents = list(yaml.safe_load_all(done.stdout))
    for document in documents:
        kubernetes_validate.validate(document, VERSION, strict=True)
    return {f"{one['kind']} {one['metadata']['name']}": one for one in documents} | {d["kind"]: d for d in documents}


@needs_kubectl
def test_profiles_come_out_of_a_registry_by_their_digest():
    built = built_by_kubectl(FOLDER.with_name("kubernetes-oci"))
    assert "PersistentVolumeClaim" not in built
    pod = built["DaemonSet"]["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["profiles"] == {"name": "profiles", "emptyDir": {"sizeLimit": "5Gi"}}
    fetch, agent = next(c for c in pod["initContainers"] if c["name"] == "fetch-profiles"), pod["containers"][0]
    (named,) = fetch["envFrom"]
    artefact = built[f"ConfigMap {named['configMapRef']['name']}"]["data"]["ARTEFACT"]
    assert re.fullmatch(r"[a-z0-9./-]+@sha256:[0-9a-f]{64}", artefact)
    assert fetch["command"][-1] == "$(ARTEFACT)" and fetch["image"].startswith("registry.plant.example/oras:")
    # `oras pull` puts the artefact's folder `profiles` below --output, which is the root of the agent's volume.
    below = Path(fetch["command"][fetch["command"].index("--output") + 1]) / "profiles"
    places = {mount["name"]: Path(mount["mountPath"]) for mount in fetch["volumeMounts"]}
    assert places["profiles"] == below
    assert {"name": "profiles", "mountPath": "/profiles", "readOnly": True} in agent["volumeMounts"]
    contained(pod)


@needs_kubectl
def test_kubectl_puts_them_together():
    built = built_by_kubectl(FOLDER)
    pod = built["DaemonSet"]["spec"]["template"]["spec"]
    name = built["ConfigMap"]["metadata"]["name"]
    assert name.startswith("agent-lines-")
    assert name in {v.get("configMap", {}).get("name") for v in pod["volumes"]}
    assert {c["image"] for c in (*pod["containers"], *pod["initContainers"])} == {"fbclip-inspect:0.1.0"}


def test_the_lines_of_the_config_map_are_a_configuration(monkeypatch):
    load_config(FOLDER / "agent.yaml")


def contained(pod: dict) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    named = {volume["name"] for volume in pod["volumes"]}
    for container in (*pod["containers"], *pod.get("initContainers", ())):
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]
        assert {mount["name"] for mount in container["volumeMounts"]} <= named


def test_containers_run_without_root_and_write_only_to_volumes():
    for pod in pods():
        contained(pod)


def test_the_agents_of_two_nodes_have_two_names(tmp_path, monkeypatch):
    """The script of the init container, run as it stands, on folders of this machine."""
    (daemon,) = of_kind("DaemonSet")
    (naming,) = daemon["spec"]["template"]["spec"]["initContainers"]
    script = naming["command"][-1].replace("/lines/agent.yaml", str(FOLDER / "agent.yaml"))
    monkeypatch.setenv("NODE", "Hall-2.Press_1")
    target = tmp_path / "agent.yaml"
    compiled = compile(script.replace("/etc/fbclip/agent.yaml", str(target)), "init", "exec")
    exec(compiled, {})
    assert load_config(target).agent.name == "hall-2-press_1"


def test_the_jobs_say_what_calibrate_understands():
    commands = typer.main.get_command(calibrate.cli.app).commands
    for pod in pods():
        for container in pod["containers"]:
            words = [word.rpartition("/")[2] for word in container.get("command", ())]
            if "calibrate" not in words:
                continue
            verb, *rest = container["command"][words.index("calibrate") + 1 :]
            known = {option for parameter in commands[verb].params for option in parameter.opts}
            assert {word for word in rest if word.startswith("--")} <= known


def test_jobs_of_several_processes_start_as_many_as_they_have_gpus():
    started = 0
    for job in of_kind("Job"):
        (container,) = job["spec"]["template"]["spec"]["containers"]
        command = container["command"]
        if command[0] != "torchrun":
            continue
        started += 1
        assert command[command.index("--nproc-per-node") + 1] == container["resources"]["limits"]["nvidia.com/gpu"]
        # The name of a script would be looked for in the working folder; a module is found wherever it is installed.
        assert command[command.index("-m") + 1] == "calibrate"
    assert started == 2
