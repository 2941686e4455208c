"""What Alembic runs around the revisions. `storage.schema` hands the connection over, inside its transaction;
there is no offline mode, since a migration of a record looks at the record."""

from alembic import context

from storage.schema import plain_types
from storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a table by copying it
    render_item=plain_types,
    compare_type=True,
)
context.run_migrations()
