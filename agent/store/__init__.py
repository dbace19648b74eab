"""What was inspected, alerted and still has to be sent: SQLite or PostgreSQL through SQLAlchemy."""
