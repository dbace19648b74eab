"""Files of one inspection name it; feedback says by whom and why; what drift has seen outlives a run."""

import sqlalchemy as sa
from alembic import op

revision = "7"
down_revision = "6"
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ALIKE = sa.text("series IS NOT NULL")


def upgrade() -> None:
    op.add_column("files", sa.Column("series", sa.String(64)))
    op.add_column("files", sa.Column("inspection_id", sa.BigInteger))
    op.create_index("ix_files_series", "files", ["agent", "line", "series"], sqlite_where=ALIKE, postgresql_where=ALIKE)
    op.create_index("ix_files_inspection", "files", ["inspection_id"])
    op.add_column("feedback", sa.Column("agent", sa.String(64), nullable=False, server_default=""))
    op.add_column("feedback", sa.Column("note", sa.Text))
    op.add_column("feedback", sa.Column("by", sa.String(128)))
    op.add_column("feedback", sa.Column("origin", sa.String(16)))
    op.execute(
        "UPDATE feedback SET agent = "
        "coalesce((SELECT agent FROM inspections WHERE inspections.id = feedback.inspection_id), '')"
    )
    op.create_index("ix_feedback_agent", "feedback", ["agent", "id"])
    op.create_table(
        "drift",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("agent", sa.String(64), nullable=False),
        sa.Column("line", sa.String(64), nullable=False),
        sa.Column("profile_id", sa.String(128), nullable=False),
        sa.Column("updated", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.JSON, nullable=False),
        sa.UniqueConstraint("agent", "line", "profile_id"),
    )
