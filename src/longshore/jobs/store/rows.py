"""Rows of the queue as jobs."""

from typing import Any

from sqlalchemy import Connection, Row, Select

from longshore.jobs.model import Job, Status


def one(connection: Connection, query: Select[Any]) -> Job | None:
    row = connection.execute(query).one_or_none()
    return None if row is None else to_job(row)


def to_job(row: Row[Any]) -> Job:
    values = dict(row._mapping)
    return Job(**{**values, "status": Status(values["status"])})
