"""The job that compares the totals with the rows."""

from dataclasses import dataclass
from typing import Final

from longshore.db.database import Database
from longshore.jobs.model import JobContext
from longshore.quotas.checking import check

KIND: Final = "quota-check"


@dataclass(frozen=True, slots=True)
class QuotaCheckTask:
    """The task. It changes nothing: what is wrong is a fault to be reported."""

    database: Database
    kind: str = KIND
    concurrency: int = 1

    async def run(self, context: JobContext) -> None:
        """One comparison; the metric tells its outcome."""
        differences = await check(self.database)
        for found in differences[:20]:
            await context.log(
                f"project {found.project}: {found.kept} is kept, {found.counted} is counted"
            )
        await context.log(
            f"the totals of {len(differences)} projects differ from the rows: "
            "run `longshore quota check --fix`"
            if differences
            else "the totals are what the rows say"
        )
