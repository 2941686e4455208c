"""Alembic's scripts: `env.py`, and a file in `versions/` for each change of the schema."""
