"""Progress bars on a terminal, nothing anywhere else."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from longshore.client.copying import Progress, Step

if TYPE_CHECKING:
    from rich.progress import TaskID

    from longshore.oci.digest import Digest

_SHOWN = 12
Watch = Callable[[Progress], None]


@contextlib.contextmanager
def progress_bars(*, quiet: bool) -> Iterator[Watch]:
    """Gives a function to pass as `on_progress`; it draws on standard error if that is a
    terminal and the command is not `quiet`."""
    if quiet or not sys.stderr.isatty():
        yield lambda step: None
        return
    # Imported here: programs and pipes do not pay for it.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[Digest, TaskID] = {}

        def watch(step: Progress) -> None:
            digest = step.descriptor.digest
            if step.step is Step.STARTED:
                tasks[digest] = bars.add_task(digest.hex[:_SHOWN], total=step.descriptor.size)
            elif digest in tasks and step.step is Step.ADVANCED:
                bars.update(tasks[digest], completed=step.position)
            elif digest in tasks:
                bars.remove_task(tasks.pop(digest))

        yield watch
