"""The SQL of adoption, over its own tables and those of the data plane.

Rows are written many at a time, and only where there are none: what a client did meanwhile is newer
than what storage says.
"""

from longshore.adoption.store.exporting import (
    Candidate as Candidate,
)
from longshore.adoption.store.exporting import (
    Wanted as Wanted,
)
from longshore.adoption.store.exporting import (
    candidates as candidates,
)
from longshore.adoption.store.exporting import (
    claim_links as claim_links,
)
from longshore.adoption.store.exporting import (
    forget_links as forget_links,
)
from longshore.adoption.store.exporting import (
    forgotten_repositories as forgotten_repositories,
)
from longshore.adoption.store.exporting import (
    note_exported as note_exported,
)
from longshore.adoption.store.exporting import (
    referrers_by_subject as referrers_by_subject,
)
from longshore.adoption.store.exporting import (
    trouble_paths as trouble_paths,
)
from longshore.adoption.store.exporting import (
    wanted_links as wanted_links,
)
from longshore.adoption.store.given import (
    add_given_tags as add_given_tags,
)
from longshore.adoption.store.given import (
    are_tags_given as are_tags_given,
)
from longshore.adoption.store.given import (
    forget_given_tags as forget_given_tags,
)
from longshore.adoption.store.given import (
    given_tag as given_tag,
)
from longshore.adoption.store.given import (
    list_given_tags as list_given_tags,
)
from longshore.adoption.store.given import (
    note_unknown_given as note_unknown_given,
)
from longshore.adoption.store.given import (
    prefer_given_tags as prefer_given_tags,
)
from longshore.adoption.store.progress import (
    add_linked as add_linked,
)
from longshore.adoption.store.progress import (
    count_troubles as count_troubles,
)
from longshore.adoption.store.progress import (
    counts as counts,
)
from longshore.adoption.store.progress import (
    finish_adoption as finish_adoption,
)
from longshore.adoption.store.progress import (
    finish_repository as finish_repository,
)
from longshore.adoption.store.progress import (
    is_waiting as is_waiting,
)
from longshore.adoption.store.progress import (
    list_troubles as list_troubles,
)
from longshore.adoption.store.progress import (
    note_troubles as note_troubles,
)
from longshore.adoption.store.progress import (
    waiting as waiting,
)
from longshore.adoption.store.rebuilding import (
    count_repositories as count_repositories,
)
from longshore.adoption.store.rebuilding import (
    forget_images as forget_images,
)
from longshore.adoption.store.rows import (
    known_layers as known_layers,
)
from longshore.adoption.store.rows import (
    known_manifests as known_manifests,
)
from longshore.adoption.store.rows import (
    known_sizes as known_sizes,
)
from longshore.adoption.store.rows import (
    named_digests as named_digests,
)
from longshore.adoption.store.rows import (
    put_layers as put_layers,
)
from longshore.adoption.store.rows import (
    put_manifests as put_manifests,
)
from longshore.adoption.store.rows import (
    put_tags as put_tags,
)
