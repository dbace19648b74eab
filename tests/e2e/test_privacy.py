"""A planted patient is looked for, byte by byte, in everything that a real agent with a private line says and keeps."""

import json
import shutil
import sqlite3
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from tests.e2e.failing_decoder import BOOM, CRASH
from tests.e2e.running_agent import SAMPLES, RunningAgent
from tests.factories.brokers import wait_until

SURNAME, FORENAME, PATIENT_ID, BIRTH = "Quibbleworth", "Zephyrine", "PID-90817263", "19310417"
STUDY_UID, SERIES_UID = "1.2.826.0.1.3680043.8.498.90817263", "1.2.826.0.1.3680043.8.498.90817264"
INSTANCE_UID = "1.2.826.0.1.3680043.8.498.90817265"
PLANTED = (SURNAME, FORENAME, PATIENT_ID, BIRTH, "3680043.8.498.9081726", "Ward-Saffron", "Prof-Brackwater")
FOLDER = f"{SURNAME}_{FORENAME}_{BIRTH}"


def planted_scan(name):
    scan = dcmread(get_testdata_file(name))
    scan.PatientName, scan.PatientID, scan.PatientBirthDate = f"{SURNAME}^{FORENAME}", PATIENT_ID, BIRTH
    scan.StudyDate, scan.AccessionNumber = BIRTH, PATIENT_ID
    scan.StudyInstanceUID, scan.SeriesInstanceUID = STUDY_UID, SERIES_UID
    scan.SOPInstanceUID = scan.file_meta.MediaStorageSOPInstanceUID = INSTANCE_UID
    scan.InstitutionName, scan.ReferringPhysicianName = "Ward-Saffron", "Prof-Brackwater"
    return scan


def fill(inbox):
    """Good, malformed, unreadable, crashing and other files, all named after the patient; returns how many."""
    folder = inbox / FOLDER
    folder.mkdir()
    planted_scan("CT_small.dcm").save_as(folder / f"{SURNAME}-{PATIENT_ID}.dcm")
    planted_scan("MR_small.dcm").save_as(folder / f"{INSTANCE_UID}")
    whole = (folder / f"{SURNAME}-{PATIENT_ID}.dcm").read_bytes()
    (folder / f"{SURNAME} cut.dcm").write_bytes(whole[: len(whole) // 2])
    odd = planted_scan("CT_small.dcm")
    odd.add_new(0x00280030, "LO", f"{SURNAME}")
    odd.add_new(0x00281050, "LO", f"{SURNAME}")
    odd.add_new(0x00281051, "LO", f"{BIRTH}")
    odd.save_as(folder / f"{SURNAME} odd.dcm")
    no_uid = planted_scan("CT_small.dcm")
    del no_uid.SOPInstanceUID
    no_uid.save_as(folder / f"{SURNAME} {BIRTH}.dcm", enforce_file_format=False)
    (folder / f"{SURNAME} text.dcm").write_text(f"{SURNAME} {FORENAME} is no image", encoding="utf-8")
    shutil.copy(sorted((SAMPLES / "inbox").glob("*.png"))[0], folder / f"{SURNAME} {FORENAME}.png")
    # The decoder's process dies over the one, and the agent's own code fails over the other.
    (folder / f"{SURNAME} crash.dcm").write_bytes(whole + CRASH)
    (folder / f"{SURNAME} boom.dcm").write_bytes(whole + BOOM)
    return 9


def quarantine(agent, scans):
    """A file over which the agent has died twice, as the ledger remembers it."""
    hidden, path = scans / ".hidden", scans / FOLDER / f"{SURNAME} killer.dcm"
    hidden.write_bytes(b"killer")
    info = hidden.stat()
    with sqlite3.connect(agent.folder / "var" / "agent.db", timeout=20) as store:
        values = ("demo", "inbox", str(path), info.st_size, info.st_mtime_ns, "", "pending", "2026-01-01 00:00:00")
        columns = "agent, line, path, size, mtime_ns, sha256, state, added"
        row = store.execute(f"insert into files ({columns}) values ({', '.join('?' * 8)})", values)
        store.execute("insert into suspects (file_id, points) values (?, 6)", (row.lastrowid,))
    hidden.rename(path)


def everything_of(agent):
    """What the agent's page and its way in for machines answer, as bytes."""
    out = {}
    for route in (
        "/",
        "/api/state",
        "/healthz",
        "/readyz",
        "/metrics",
        "/lines/inbox/frame.jpg",
        "/lines/inbox/overlay.jpg",
        "/nowhere",
    ):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{agent.web_port}{route}", timeout=10) as answer:
                out[route] = answer.read() + str(answer.headers).encode()
        except urllib.error.HTTPError as error:
            out[route] = error.read() + str(error.headers).encode()
    return out


def guilty(where):
    """Which of the texts hold which planted word, in UTF-8, in capitals, and as JSON and wide characters write it."""
    found = []
    for name, data in where.items():
        lower = bytes(data).lower()
        found += [
            (name, word) for word in PLANTED for code in ("utf-8", "utf-16-le") if word.lower().encode(code) in lower
        ]
    return found


@pytest.fixture
def site(tmp_path, mosquitto):
    broker = mosquitto()
    heard = tmp_path / "heard"
    binary = shutil.which("mosquitto_sub") or pytest.skip("mosquitto_sub is not installed")
    tap = subprocess.Popen(
        [binary, "-h", "127.0.0.1", "-p", str(broker.port), "-t", "#", "-F", "%t %P %p"],
        stdout=heard.open("wb"),
    )

    def change(config):
        config["mqtt"]["url"] = f"mqtt://127.0.0.1:{broker.port}"
        line = next(one for one in config["lines"] if one["name"] == "inbox")
        line["source"] |= {"path": str(tmp_path / "scans"), "recursive": True, "rescan_s": 1}
        config["lines"] = [line | {"privacy": "phi", "dicom_outputs": str(tmp_path / "outputs")}]
        config["store"] = {"retention": {"ok_every": 1}}

    (tmp_path / "scans").mkdir()
    agent = RunningAgent(tmp_path / "agent", change)
    agent.entry = ["tests.e2e.failing_decoder"]
    yield agent, tmp_path / "scans", heard
    agent.close()
    tap.kill()
    tap.wait(10)


def rows(agent, query):
    with sqlite3.connect(f"file:{agent.folder / 'var' / 'agent.db'}?mode=ro", uri=True) as store:
        return store.execute(query).fetchall()


def test_a_planted_patient_is_found_nowhere(site, tmp_path):
    agent, scans, heard = site
    count = fill(scans)
    agent.start()
    quarantine(agent, scans)
    count += 1
    agent.until(lambda: len(rows(agent, "select id from inspections")) >= count, "all files")
    reasons = {reason for (reason,) in rows(agent, "select reason from inspections")}
    assert {"quarantined", "decoder_died", "reader_error", "truncated", "no_uid"} <= reasons
    said = {f"page {route}": data for route, data in everything_of(agent).items()}
    assert b'"reference":"' in said["page /api/state"] and b"image/jpeg" not in said["page /lines/inbox/frame.jpg"]
    for arguments in (["status"], ["status", "--json"], ["events"], ["events", "--json"], ["check"], ["ctl", "reload"]):
        answer = agent.command(*arguments, "-c", str(agent.config))
        said[f"agent {arguments}"] = (answer.stdout + answer.stderr).encode()
    inspected = agent.command("inspect", "--private", "--json", str(scans.with_name("scans.failed")))
    said["agent inspect"] = (inspected.stdout + inspected.stderr).encode()
    assert inspected.stdout.count("\n") >= 3
    wait_until(lambda: heard.read_bytes().count(b"/inbox/result") >= count)
    files = rows(agent, "select line, path, sha256 from files")
    references = [path for (path,) in rows(agent, "select path from inspections")]
    assert len(set(references)) == len(references) and all(len(one) == 32 for one in references)
    # Whoever may read the database learns the name.
    resolved = agent.command("resolve", references[0], "-c", str(agent.config))
    assert resolved.returncode == 0 and resolved.stdout.strip() in {path for _, path, _ in files}
    assert agent.stop() == 0
    said["log"], said["mqtt"] = agent.log.read_bytes(), heard.read_bytes()
    assert b"burned into pictures" in said["log"] and references[0].encode() in said["mqtt"]
    data = agent.folder / "var"
    assert data.stat().st_mode & 0o777 == 0o700 and (data / "agent.db").stat().st_mode & 0o777 == 0o600
    key = (data / "reference.key").read_bytes()
    notes = sorted(scans.with_name("scans.failed").rglob("*.reason.json"))
    assert len(notes) >= 3 and {note.name.partition(".")[0] for note in notes} <= set(references)
    assert {json.loads(note.read_text(encoding="utf-8"))["reason"] for note in notes} >= {"truncated", "no_uid"}
    for note in notes:
        said[f"note {note.name}"] = note.read_bytes() + note.name.encode()
    for path in [path for path in data.rglob("*") if path.is_file() and not path.name.startswith("agent.db")]:
        said[f"kept {path.relative_to(data)}"] = path.read_bytes() + str(path.relative_to(data)).encode()
    said["database without its column"] = without_paths(data / "agent.db", tmp_path / "copy.db")
    said["unsent copy"] = b"".join(path.read_bytes() for path in data.glob("agent.db.unsent*"))
    assert not guilty(said)
    assert not [
        name
        for name, text in said.items()
        if not name.startswith("kept") and (key in text or key.hex().encode() in text)
    ]
    # The search finds what is there.
    assert guilty({"files": "".join(path for _, path, _ in files).encode()})
    # What is written as DICOM belongs to the patient and stays on the machine, under names that tell nothing.
    outputs = list((tmp_path / "outputs").iterdir())
    assert len(outputs) >= 2 and not guilty({"outputs": " ".join(path.name for path in outputs).encode()})
    made = [dcmread(path) for path in outputs if path.name.endswith("-overlay.dcm")]
    assert made and all(one.SourceImageSequence[0].ReferencedSOPInstanceUID == INSTANCE_UID for one in made)
    pictures = list((data / "pictures").rglob("*.jpg"))
    assert pictures and all(picture.stat().st_mode & 0o077 == 0 for picture in pictures)


def without_paths(database, copy):
    """All bytes of the database once the one column that may hold names is blanked and the file written anew."""
    with sqlite3.connect(database) as store, sqlite3.connect(copy) as target:
        store.backup(target)
    store.close()
    target.execute("PRAGMA journal_mode=DELETE")
    target.execute("UPDATE files SET path = ''")
    target.commit()
    target.execute("VACUUM")
    target.close()
    return Path(copy).read_bytes()
