"""The database of every version up to now: one step a file, applied in order by alembic."""
