"""A database with the newest schema, and a log that is written as servers write it."""

from tests.jobs.conftest import jobs as jobs
