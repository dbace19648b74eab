"""Which of several agents has a file of the folder that they share."""

import sqlalchemy as sa
from alembic import op

revision = "8"
down_revision = "7"
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "claims",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("line", sa.String(64), nullable=False),
        sa.Column("file", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("mtime_s", sa.BigInteger, nullable=False),
        sa.Column("agent", sa.String(64), nullable=False),
        sa.Column("run", sa.String(64), nullable=False),
        sa.Column("file_id", BIG_ID, sa.ForeignKey("files.id", ondelete="CASCADE"), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("line", "file", "size", "mtime_s"),
    )
    op.create_index("ix_claims_file", "claims", ["file_id"])
    op.create_index("ix_claims_agent", "claims", ["agent", "expires"])
