"""Which rows were last written back to storage as links.

Revision: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("linked_repositories", sa.Column("exported", sa.Text))


def downgrade() -> None:
    op.drop_column("linked_repositories", "exported")
