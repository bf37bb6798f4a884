"""An outbox on each database, and workers that deliver from it."""

from tests.jobs.conftest import jobs as jobs
