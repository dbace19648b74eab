"""Retention that no wall clock can mislead, and that finds the images of a large database at once."""

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"
WITH_IMAGE = sa.text("image_ref IS NOT NULL OR overlay_ref IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "ages",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("age_s", sa.Float, nullable=False),
        sa.Column("inspection_id", sa.BigInteger, nullable=False),
        sa.Column("event_id", sa.BigInteger, nullable=False),
        sa.Column("outbox_id", sa.BigInteger, nullable=False),
        sa.Column("file_id", sa.BigInteger, nullable=False),
    )
    op.create_index(
        "ix_inspections_images",
        "inspections",
        ["verdict", "id"],
        sqlite_where=WITH_IMAGE,
        postgresql_where=WITH_IMAGE,
    )
    op.create_index("ix_inspections_verdict", "inspections", ["verdict", "id"])
