"""DICOM objects sent to a real agent: none that was answered with success is lost or judged twice, whatever ends it."""

import signal
import sqlite3

from pydicom import dcmread
from pydicom.data import get_testdata_file
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage

from tests.e2e.running_agent import RunningAgent
from tests.factories.brokers import accepts, free_port

COUNT = 6


def test_nothing_is_lost_between_the_answer_and_the_verdict(tmp_path):
    port = free_port()

    def change(config):
        line = next(one for one in config["lines"] if one["name"] == "inbox")
        config["lines"] = [line | {"source": {"type": "dicom", "port": port}, "privacy": "phi"}]

    agent = RunningAgent(tmp_path, change)
    agent.inbox.rmdir()
    try:
        agent.start()
        agent.until(lambda: "see line inbox" in agent.log.read_text(encoding="utf-8"), "what to do next")
        sender = AE()
        sender.add_requested_context(CTImageStorage, "1.2.840.10008.1.2.1")
        agent.until(lambda: accepts(port), "the receiver")
        link = sender.associate("127.0.0.1", port, ae_title="FBCLIP")
        assert link.is_established
        scan = dcmread(get_testdata_file("CT_small.dcm"))
        base = scan.SOPInstanceUID
        for number in range(COUNT):
            scan.SOPInstanceUID = scan.file_meta.MediaStorageSOPInstanceUID = f"{base}.{number}"
            assert link.send_c_store(scan).Status == 0
        agent.stop(signal.SIGKILL)
        link.abort()
        spool = tmp_path / "var" / "received" / "inbox"
        assert len(list(spool.rglob("*.dcm"))) == COUNT
        agent.start()
        agent.until(lambda: verdicts(agent) >= COUNT, "all verdicts")
        agent.until(lambda: not list((spool / "in").glob("*.dcm")), "the moves")
        assert agent.stop() == 0
        assert verdicts(agent) == COUNT and len(list(spool.rglob("*.dcm"))) == COUNT
        assert str(base) not in agent.log.read_text(encoding="utf-8")
        assert (tmp_path / "var").stat().st_mode & 0o777 == 0o700
    finally:
        agent.close()


def verdicts(agent):
    with sqlite3.connect(f"file:{agent.folder / 'var' / 'agent.db'}?mode=ro", uri=True) as store:
        return store.execute("select count(distinct file_id) from inspections").fetchone()[0]
