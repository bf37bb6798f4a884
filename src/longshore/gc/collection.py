"""Online collection: what nothing reaches goes, while pushes and pulls go on.

A run *marks* and *sweeps*. Marking finds manifests that no tag reaches (only if those are to go), blobs
that no manifest of their repository needs, and bytes that no repository may read, and writes down
since when: they are *condemned*. Sweeping removes what was condemned a whole lease ago, by an earlier
run, and is still unused.

Why nothing that a client relies on can vanish:

- Who is told that a blob or a manifest exists (HEAD, GET, mount, the end of an upload) sees a row that
  is not condemned, or takes the condemnation back in the same request. From that answer on it stays
  for a lease at least, and a manifest that refers to it takes the condemnation back once more.
- A link is not removed while its repository is being pushed to, for up to ``PATIENCE`` leases: a push
  may take longer than one between its first HEAD and its manifest.
- Whoever puts bytes under a digest looks first (``registry.reservation``). Bytes are removed only after
  a committed row has announced it, and whoever meets that announcement waits until it is gone.
- The sweeping transaction holds the rows it removes and looks again who needs them.

So no lock spans a run, several runs may work at once, and a run that is killed leaves only rows that
the next one takes up. All times are the database's.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from longshore.gc.marking import Marking
from longshore.gc.run import CollectionOptions as CollectionOptions
from longshore.gc.run import Run, Tally
from longshore.gc.sweeping import PATIENCE as PATIENCE
from longshore.gc.sweeping import Sweeping
from longshore.gc.unknown import refuse_unknown
from longshore.telemetry import clock

Phase = Callable[[Any], Awaitable[None]]


class Collection(Run):
    """One run."""

    async def run(self, state: Any = None) -> Tally:
        """Mark, then sweep; from the beginning, or from what an interrupted run remembered.

        Raises AdoptionRunning, or StorageUnknown when this is the storage of another registry.
        """
        done = state or {"last": None, "tally": {}}
        self.tally = Tally(**done["tally"])
        await refuse_unknown(self.database, self.backends, clock.timestamp() - self.options.lease)
        marking, sweeping = Marking(self), Sweeping(self)
        phases: Mapping[str, Phase] = {
            "mark manifests": marking.manifests,
            "mark links": marking.links,
            "mark blobs": marking.blobs,
            "mark storage": marking.storage,
            "sweep manifests": sweeping.manifests,
            "sweep links": sweeping.links,
            "sweep blobs": sweeping.blobs,
        }
        names = list(phases)
        interrupted = done.get("phase")
        # From the beginning, too, when another version remembered it by another name: nothing is done twice.
        first = names.index(interrupted) if interrupted in names else 0
        for name in names[first:]:
            last = done["last"] if name == interrupted else None
            await self.begin_phase(name, last)
            await phases[name](last)
        return self.tally
