"""What alembic runs for each upgrade: the steps go over the connection, and in the transaction, of the caller."""

from alembic import context

from agent.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
