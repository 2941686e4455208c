"""What was done once and must not be done again.

Revision ID: 0002
Revises: 0001
Create date: 2026-11-30 23:50:00
"""

import sqlalchemy as sa
from alembic import op


revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "remembered",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "item", name=op.f("pk_remembered")),
    )


def downgrade() -> None:
    op.drop_table("remembered")
