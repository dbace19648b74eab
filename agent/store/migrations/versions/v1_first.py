"""The tables of 0.1.0. Frozen: what changes later is a step of its own."""

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None
MOMENT = sa.DateTime(timezone=True)
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "files",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("line", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("disposition", sa.String(length=16)),
        sa.Column("added", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_files_disposition", "files", ["disposition"])
    op.create_index("ix_files_identity", "files", ["line", "path", "size", "mtime_ns"])
    op.create_index("ix_files_state", "files", ["line", "state"])
    op.create_table(
        "meta",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("message_id", sa.String(length=64), nullable=False),
        sa.Column("line", sa.String(length=64), nullable=False),
        sa.Column("message_seq", sa.BigInteger(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("run", sa.String(length=64), nullable=False),
        sa.Column("committed", MOMENT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("sent", MOMENT),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("line", "message_seq"),
        sa.UniqueConstraint("message_id"),
    )
    op.create_index("ix_outbox_sent", "outbox", ["sent", "id"])
    op.create_table(
        "runs",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("run", sa.String(length=64), nullable=False),
        sa.Column("agent", sa.String(length=64), nullable=False),
        sa.Column("started", MOMENT, nullable=False),
        sa.Column("ended", MOMENT),
        sa.Column("clean", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("run"),
    )
    op.create_table(
        "sequences",
        sa.Column("line", sa.String(length=64), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("line"),
    )
    op.create_table(
        "inspections",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("run", sa.String(length=64), nullable=False),
        sa.Column("line", sa.String(length=64), nullable=False),
        sa.Column("frame_seq", sa.BigInteger(), nullable=False),
        sa.Column("ts", MOMENT, nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("path", sa.Text()),
        sa.Column("frame_number", sa.BigInteger()),
        sa.Column("file_id", BIG_ID),
        sa.Column("sha256", sa.String(length=64)),
        sa.Column("width", sa.Integer()),
        sa.Column("height", sa.Integer()),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("margin", sa.Float()),
        sa.Column("score", sa.Float()),
        sa.Column("threshold", sa.Float()),
        sa.Column("z", sa.Float()),
        sa.Column("regions", sa.JSON(), nullable=False),
        sa.Column("profile_id", sa.String(length=128)),
        sa.Column("model_id", sa.String(length=128)),
        sa.Column("queue_ms", sa.Float(), nullable=False),
        sa.Column("infer_ms", sa.Float(), nullable=False),
        sa.Column("total_ms", sa.Float(), nullable=False),
        sa.Column("discrete", sa.Boolean(), nullable=False),
        sa.Column("image_ref", sa.Text()),
        sa.Column("overlay_ref", sa.Text()),
        sa.Column("context", sa.JSON()),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("run", "line", "frame_seq"),
    )
    op.create_index("ix_inspections_file", "inspections", ["file_id"])
    op.create_index("ix_inspections_line", "inspections", ["line", "id"])
    op.create_index("ix_inspections_ts", "inspections", ["ts"])
    op.create_table(
        "events",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=64), nullable=False),
        sa.Column("line", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("opened", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.Column("ended", MOMENT),
        sa.Column("end_reason", sa.String(length=32)),
        sa.Column("inspection_id", BIG_ID),
        sa.ForeignKeyConstraint(["inspection_id"], ["inspections.id"], ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("event_id"),
    )
    op.create_index("ix_events_ended", "events", ["ended"])
    op.create_index("ix_events_inspection", "events", ["inspection_id"])
    op.create_index("ix_events_line", "events", ["line", "id"])
    op.create_table(
        "feedback",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("inspection_id", BIG_ID, nullable=False),
        sa.Column("ts", MOMENT, nullable=False),
        sa.Column("label", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["inspection_id"], ["inspections.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_feedback_inspection", "feedback", ["inspection_id"])
