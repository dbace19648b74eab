"""Every row carries its agent, so that several agents share one server."""

import sqlalchemy as sa
from alembic import op

revision = "6"
down_revision = "5"
WITH_IMAGE = sa.text("image_ref IS NOT NULL OR overlay_ref IS NOT NULL")
WAITING = sa.text("sent IS NULL AND parked IS NULL")
PARKED = sa.text("sent IS NULL AND parked IS NOT NULL")
# SQLite keeps no names of constraints; these are PostgreSQL's.
NAMES = {"uq": "%(table_name)s_%(column_0_N_name)s_key", "pk": "%(table_name)s_pkey"}


def upgrade() -> None:
    # Until now a database had one agent: that of its newest run.
    found = op.get_bind().execute(sa.text("SELECT agent FROM runs ORDER BY id DESC LIMIT 1")).scalar()
    agent = found or ""
    for name, table in (
        ("ix_files_identity", "files"),
        ("ix_files_state", "files"),
        ("ix_files_disposition", "files"),
        ("ix_inspections_line", "inspections"),
        ("ix_inspections_verdict", "inspections"),
        ("ix_inspections_images", "inspections"),
        ("ix_events_line", "events"),
        ("ix_events_ended", "events"),
        ("ix_outbox_sent", "outbox"),
        ("ix_outbox_waiting", "outbox"),
        ("ix_outbox_parked", "outbox"),
    ):
        op.drop_index(name, table)
    for table in ("files", "inspections", "events", "ages", "outbox", "sequences"):
        op.add_column(table, sa.Column("agent", sa.String(64), nullable=False, server_default=""))
        op.execute(sa.text(f"UPDATE {table} SET agent = :agent").bindparams(agent=agent))  # noqa: S608 (names of ours)
    op.add_column("ages", sa.Column("audit_id", sa.BigInteger, nullable=False, server_default="0"))
    with op.batch_alter_table("meta") as batch:
        batch.alter_column("key", type_=sa.String(128), existing_nullable=False)
    with op.batch_alter_table("sequences", naming_convention=NAMES) as batch:
        batch.drop_constraint("sequences_pkey", type_="primary")
        batch.create_primary_key("sequences_pkey", ["agent", "line"])
    with op.batch_alter_table("outbox", naming_convention=NAMES) as batch:
        batch.drop_constraint("outbox_line_message_seq_key", type_="unique")
        batch.create_unique_constraint("outbox_agent_line_message_seq_key", ["agent", "line", "message_seq"])
    op.create_index("ix_files_identity", "files", ["agent", "line", "size", "mtime_ns"])
    op.create_index("ix_files_state", "files", ["agent", "state"])
    op.create_index("ix_files_disposition", "files", ["agent", "disposition", "id"])
    op.create_index("ix_inspections_line", "inspections", ["agent", "line", "id"])
    op.create_index("ix_inspections_totals", "inspections", ["agent", "line", "verdict"])
    op.create_index("ix_inspections_verdict", "inspections", ["agent", "verdict", "id"])
    _partial("ix_inspections_images", "inspections", ["agent", "verdict", "id"], WITH_IMAGE)
    op.create_index("ix_events_agent", "events", ["agent", "id"])
    op.create_index("ix_events_line", "events", ["agent", "line", "id"])
    op.create_index("ix_events_ended", "events", ["agent", "ended"])
    op.create_index("ix_outbox_sent", "outbox", ["agent", "sent", "id"])
    _partial("ix_outbox_waiting", "outbox", ["agent", "line", "id"], WAITING)
    _partial("ix_outbox_parked", "outbox", ["agent", "id"], PARKED)
    op.create_index("ix_audit_agent", "audit", ["agent", "id"])


def _partial(name: str, table: str, columns: list[str], where: sa.TextClause) -> None:
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
