"""The tables. Wall-clock times are UTC; durations are milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    exists,
    false,
    text,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

# That of the last step in migrations/versions.
SCHEMA_VERSION = 9
# What `Reader` asks for stands in every version since this one: a database is read before it is upgraded.
READABLE_FROM = 1


class Utc(TypeDecorator[datetime]):
    """Timezone-aware UTC in and out, also where the database keeps no timezone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Words(TypeDecorator[str]):
    """Text from outside, as every database takes it: without NUL and lone surrogates, cut where it is too long."""

    impl = Text
    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        super().__init__(length)
        self._most = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:  # noqa: ARG002
        return Text() if self._most is None else String(self._most)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        if value is None:
            return None
        return value.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")[: self._most]


# SQLite gives out row ids only for a column of the very type INTEGER.
BigId = BigInteger().with_variant(Integer(), "sqlite")
metadata = MetaData()

meta = Table("meta", metadata, Column("key", String(128), primary_key=True), Column("value", Text, nullable=False))

sequences = Table(
    "sequences",
    metadata,
    Column("agent", String(64), primary_key=True, server_default=""),
    Column("line", String(64), primary_key=True),
    Column("last", BigInteger, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("run", String(64), nullable=False, unique=True),
    Column("agent", String(64), nullable=False),
    Column("started", Utc, nullable=False),
    Column("ended", Utc),
    Column("clean", Boolean, nullable=False, default=False),
)

_OF_SERIES = text("series IS NOT NULL")

files = Table(
    "files",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("agent", String(64), nullable=False, server_default=""),
    Column("line", String(64), nullable=False),
    Column("path", Words(), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Words()),
    Column("disposition", String(16)),
    Column("added", Utc, nullable=False),
    # Of slices that have one verdict: the keyed digest of what they share, and the inspection that they came to.
    Column("series", String(64)),
    Column("inspection_id", BigInteger),
    # Without the path: PostgreSQL has no room for a long one in an index.
    Index("ix_files_identity", "agent", "line", "size", "mtime_ns"),
    Index("ix_files_content", "agent", "line", "sha256"),
    Index("ix_files_state", "agent", "state"),
    Index("ix_files_disposition", "agent", "disposition", "id"),
    Index("ix_files_series", "agent", "line", "series", sqlite_where=_OF_SERIES, postgresql_where=_OF_SERIES),
    Index("ix_files_inspection", "inspection_id"),
)

# Files that were claimed when a run died.
suspects = Table(
    "suspects",
    metadata,
    Column("file_id", BigId, ForeignKey("files.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("points", Integer, nullable=False),
)

# Which agent has a file of a folder that several empty: see agent/store/claims.py. `file`: a digest of its path below
# the folder, which has room in an index and names nobody.
claims = Table(
    "claims",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("line", String(64), nullable=False),
    Column("file", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mtime_s", BigInteger, nullable=False),
    Column("agent", String(64), nullable=False),
    Column("run", String(64), nullable=False),
    Column("file_id", BigId, ForeignKey("files.id", ondelete="CASCADE"), nullable=False),
    Column("claimed_at", Utc, nullable=False),
    Column("expires", Utc, nullable=False),
    UniqueConstraint("line", "file", "size", "mtime_s"),
    Index("ix_claims_file", "file_id"),
    Index("ix_claims_agent", "agent", "expires"),
)

_WITH_IMAGE = text("image_ref IS NOT NULL OR overlay_ref IS NOT NULL")

inspections = Table(
    "inspections",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("agent", String(64), nullable=False, server_default=""),
    Column("run", String(64), nullable=False),
    Column("line", String(64), nullable=False),
    Column("frame_seq", BigInteger, nullable=False),
    Column("ts", Utc, nullable=False),
    Column("mode", String(16), nullable=False),
    Column("path", Words()),
    Column("frame_number", BigInteger),
    Column("file_id", BigId, ForeignKey("files.id", ondelete="SET NULL")),
    Column("sha256", String(64)),
    Column("width", Integer),
    Column("height", Integer),
    Column("verdict", String(16), nullable=False),
    Column("reason", Words()),
    Column("margin", Float),
    Column("score", Float),
    Column("threshold", Float),
    Column("z", Float),
    Column("regions", JSON, nullable=False),
    Column("profile_id", Words(128)),
    Column("model_id", Words(128)),
    Column("queue_ms", Float, nullable=False),
    Column("infer_ms", Float, nullable=False),
    Column("total_ms", Float, nullable=False),
    Column("discrete", Boolean, nullable=False),
    Column("image_ref", Text),
    Column("overlay_ref", Text),
    Column("context", JSON),
    UniqueConstraint("run", "line", "frame_seq"),
    Index("ix_inspections_line", "agent", "line", "id"),
    Index("ix_inspections_totals", "agent", "line", "verdict"),
    Index("ix_inspections_ts", "ts"),
    Index("ix_inspections_file", "file_id"),
    Index("ix_inspections_verdict", "agent", "verdict", "id"),
    Index("ix_inspections_images", "agent", "verdict", "id", sqlite_where=_WITH_IMAGE, postgresql_where=_WITH_IMAGE),
)

events = Table(
    "events",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("agent", String(64), nullable=False, server_default=""),
    Column("event_id", String(64), nullable=False, unique=True),
    Column("run", String(64), nullable=False),
    Column("line", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("opened", Utc, nullable=False),
    Column("updated", Utc, nullable=False),
    Column("ended", Utc),
    Column("end_reason", Words(32)),
    Column("inspection_id", BigId, ForeignKey("inspections.id", ondelete="SET NULL")),
    Index("ix_events_agent", "agent", "id"),
    Index("ix_events_line", "agent", "line", "id"),
    Index("ix_events_ended", "agent", "ended"),
    Index("ix_events_inspection", "inspection_id"),
)

_WAITING = text("sent IS NULL AND parked IS NULL")
_PARKED = text("sent IS NULL AND parked IS NOT NULL")

# `parked`: why the broker does not take the message; `held`: it is not even tried at the next connection.
outbox = Table(
    "outbox",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("agent", String(64), nullable=False, server_default=""),
    Column("message_id", String(64), nullable=False, unique=True),
    Column("line", String(64), nullable=False),
    Column("message_seq", BigInteger, nullable=False),
    Column("topic", Text, nullable=False),
    Column("body", JSON, nullable=False),
    Column("run", String(64), nullable=False),
    Column("committed", Utc, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("sent", Utc),
    Column("parked", Words()),
    Column("held", Boolean, nullable=False, default=False, server_default=false()),
    UniqueConstraint("agent", "line", "message_seq"),
    Index("ix_outbox_sent", "agent", "sent", "id"),
    Index("ix_outbox_waiting", "agent", "line", "id", sqlite_where=_WAITING, postgresql_where=_WAITING),
    Index("ix_outbox_parked", "agent", "id", sqlite_where=_PARKED, postgresql_where=_PARKED),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("inspection_id", BigId, ForeignKey("inspections.id", ondelete="CASCADE"), nullable=False),
    Column("ts", Utc, nullable=False),
    Column("label", String(16), nullable=False),
    Column("agent", String(64), nullable=False, server_default=""),
    Column("note", Words()),
    Column("by", Words(128)),
    Column("origin", Words(16)),
    Index("ix_feedback_inspection", "inspection_id"),
    Index("ix_feedback_agent", "agent", "id"),
)

# Of a row of `inspections`: somebody said what it really was.
HAS_FEEDBACK = exists().where(feedback.c.inspection_id == inspections.c.id)

# What the watch for drift has seen of a line under a profile, so that a restart forgets nothing.
drift = Table(
    "drift",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("agent", String(64), nullable=False),
    Column("line", String(64), nullable=False),
    Column("profile_id", Words(128), nullable=False),
    Column("updated", Utc, nullable=False),
    Column("state", JSON, nullable=False),
    UniqueConstraint("agent", "line", "profile_id"),
)

# The last ids of the tables at an age of the database, in the agent's own seconds: see agent/store/age.py.
ages = Table(
    "ages",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("agent", String(64), nullable=False, server_default=""),
    Column("age_s", Float, nullable=False),
    Column("inspection_id", BigInteger, nullable=False),
    Column("event_id", BigInteger, nullable=False),
    Column("outbox_id", BigInteger, nullable=False),
    Column("file_id", BigInteger, nullable=False),
    Column("audit_id", BigInteger, nullable=False, server_default="0"),
)

# Commands that a running agent was given, by MQTT, by `agent ctl` or by SIGHUP.
audit = Table(
    "audit",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("agent", String(64), nullable=False),
    Column("ts", Utc, nullable=False),
    Column("origin", Words(16), nullable=False),
    Column("verb", Words(64), nullable=False),
    Column("line", Words(64)),
    Column("by", Words(128)),
    Column("ok", Boolean, nullable=False),
    Column("text", Words(), nullable=False),
    Column("detail", JSON),
    Index("ix_audit_ts", "ts"),
    Index("ix_audit_agent", "agent", "id"),
)
