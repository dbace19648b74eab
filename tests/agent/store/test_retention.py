"""What the disk keeps."""

from datetime import UTC, datetime, timedelta

from agent.config.services import RetentionSection
from agent.store.outbox import Outbox
from agent.store.retention import prune
from fbclip.decision import Verdict
from tests.factories.agent import a_draft, an_inspection


def test_pruning_takes_ok_images_first_and_never_unsent_alerts(database, writer, tmp_path):
    for seq, verdict in enumerate((Verdict.ANOMALY, Verdict.OK, Verdict.ANOMALY, Verdict.OK)):
        (tmp_path / f"{seq}.jpg").write_bytes(bytes(1 << 20))
        writer.record(an_inspection(verdict, seq, image_ref=f"{seq}.jpg"), (), [a_draft()])
    (tmp_path / "1.jpg").unlink()
    plenty = lambda _path: 1 << 40  # noqa: E731
    keep = RetentionSection(days=36500, pictures_mb=1, min_free_mb=0)
    prune(database, tmp_path, keep, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), plenty)
    assert [p.name for p in sorted(tmp_path.glob("*.jpg"))] == ["2.jpg"]
    Outbox(database).mark_sent([1])
    gone = prune(database, tmp_path, replace_days(keep), datetime.now(UTC) + timedelta(days=2), plenty)
    assert (gone.inspections, gone.messages, gone.images) == (4, 1, 1)
    assert [m.id for m in Outbox(database).pending(9)] == [2, 3, 4]


def replace_days(section: RetentionSection) -> RetentionSection:
    return section.model_copy(update={"days": 1})
