"""Rows beside those of the registry, which needs none of them.

repositories ──  repository_details
manifests ──── artifact_details
    └──< artifact_labels >── labels
tags ────────── tag_pulls
"""

from sqlalchemy import (
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Table,
    Text,
    UniqueConstraint,
)

from longshore.db.schema import Document, Identity, Name, Size, Timestamp, metadata

repository_details = Table(
    "repository_details",
    metadata,
    Column("repository_id", ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True),
    Column("description", Text, nullable=False, server_default=""),
    Column("pull_count", Size, nullable=False, server_default="0"),
    Column("updated_at", Timestamp, nullable=False, server_default="0"),
)

artifact_details = Table(
    "artifact_details",
    metadata,
    Column("manifest_id", ForeignKey("manifests.id", ondelete="CASCADE"), primary_key=True),
    Column("pulled_at", Timestamp),
    # What its configuration says; null: nobody has asked yet.
    Column("extra", Document),
)

tag_pulls = Table(
    "tag_pulls",
    metadata,
    Column("repository_id", Identity, primary_key=True),
    Column("name", Name, primary_key=True),
    Column("pulled_at", Timestamp, nullable=False),
    ForeignKeyConstraint(
        ["repository_id", "name"],
        ["tags.repository_id", "tags.name"],
        name="fk_tag_pulls_repository_id_name",
        ondelete="CASCADE",
    ),
)

labels = Table(
    "labels",
    metadata,
    Column("id", Identity, primary_key=True),
    # The project again, zero for everybody's: names are unique there, too.
    Column("owner", Identity, nullable=False),
    Column("project_id", Identity, ForeignKey("projects.id", ondelete="CASCADE")),
    Column("name", Name, nullable=False),
    Column("description", Text, nullable=False),
    Column("color", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
    UniqueConstraint("owner", "name"),
    Index("ix_labels_project_id", "project_id"),
)

artifact_labels = Table(
    "artifact_labels",
    metadata,
    Column("manifest_id", ForeignKey("manifests.id", ondelete="CASCADE"), primary_key=True),
    Column("label_id", ForeignKey("labels.id", ondelete="CASCADE"), primary_key=True),
    Index("ix_artifact_labels_label_id", "label_id"),
)
