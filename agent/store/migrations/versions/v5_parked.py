"""Messages that the broker does not take are parked with the reason; each line's waiting ones are found at once."""

import sqlalchemy as sa
from alembic import op

revision = "5"
down_revision = "4"
WAITING = sa.text("sent IS NULL AND parked IS NULL")
PARKED = sa.text("sent IS NULL AND parked IS NOT NULL")


def upgrade() -> None:
    op.add_column("outbox", sa.Column("parked", sa.Text))
    op.add_column("outbox", sa.Column("held", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_index("ix_outbox_waiting", "outbox", ["line", "id"], sqlite_where=WAITING, postgresql_where=WAITING)
    op.create_index("ix_outbox_parked", "outbox", ["id"], sqlite_where=PARKED, postgresql_where=PARKED)
