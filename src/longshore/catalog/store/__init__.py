"""The SQL of what people see: functions on a connection, values in and out."""

from longshore.catalog.store.artifacts import (
    config_digests as config_digests,
)
from longshore.catalog.store.artifacts import (
    dependents as dependents,
)
from longshore.catalog.store.artifacts import (
    digests_of as digests_of,
)
from longshore.catalog.store.artifacts import (
    find_artifact as find_artifact,
)
from longshore.catalog.store.artifacts import (
    is_child as is_child,
)
from longshore.catalog.store.artifacts import (
    page_of_accessories as page_of_accessories,
)
from longshore.catalog.store.artifacts import (
    page_of_artifacts as page_of_artifacts,
)
from longshore.catalog.store.artifacts import (
    page_of_tags as page_of_tags,
)
from longshore.catalog.store.graph import (
    attached_to as attached_to,
)
from longshore.catalog.store.graph import (
    listed_by as listed_by,
)
from longshore.catalog.store.graph import (
    signature_tags as signature_tags,
)
from longshore.catalog.store.graph import (
    tag_digest as tag_digest,
)
from longshore.catalog.store.labels import (
    add_label as add_label,
)
from longshore.catalog.store.labels import (
    change_label as change_label,
)
from longshore.catalog.store.labels import (
    find_label as find_label,
)
from longshore.catalog.store.labels import (
    page_of_labels as page_of_labels,
)
from longshore.catalog.store.labels import (
    put_on as put_on,
)
from longshore.catalog.store.labels import (
    remove_label as remove_label,
)
from longshore.catalog.store.labels import (
    take_off as take_off,
)
from longshore.catalog.store.pulls import (
    count_pulls as count_pulls,
)
from longshore.catalog.store.pulls import (
    remember_extra as remember_extra,
)
from longshore.catalog.store.repositories import (
    describe as describe,
)
from longshore.catalog.store.repositories import (
    find_repository as find_repository,
)
from longshore.catalog.store.repositories import (
    forget as forget,
)
from longshore.catalog.store.repositories import (
    page_of_repositories as page_of_repositories,
)
from longshore.catalog.store.repositories import (
    page_of_visible_repositories as page_of_visible_repositories,
)
from longshore.catalog.store.statistics import (
    statistics as statistics,
)
