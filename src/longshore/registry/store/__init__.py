"""The SQL of the data plane: plain functions on a connection, values in and out.

They run inside ``Database.read`` or ``Database.write`` and may be repeated, so none has an effect
outside its transaction.

What every push and pull asks is a constant statement with named parameters: building one anew for
each call costs three times as much as running it.
"""

from longshore.registry.store.blobs import (
    blob_standing as blob_standing,
)
from longshore.registry.store.blobs import (
    claim_digest as claim_digest,
)
from longshore.registry.store.blobs import (
    condemn_digest as condemn_digest,
)
from longshore.registry.store.blobs import (
    count_quarantined as count_quarantined,
)
from longshore.registry.store.blobs import (
    find_blob as find_blob,
)
from longshore.registry.store.blobs import (
    holds_quarantined as holds_quarantined,
)
from longshore.registry.store.blobs import (
    link_blob as link_blob,
)
from longshore.registry.store.blobs import (
    mount_blob as mount_blob,
)
from longshore.registry.store.blobs import (
    repositories_with_blob as repositories_with_blob,
)
from longshore.registry.store.blobs import (
    rescue_blob as rescue_blob,
)
from longshore.registry.store.blobs import (
    restore_digest as restore_digest,
)
from longshore.registry.store.blobs import (
    unlink_blob as unlink_blob,
)
from longshore.registry.store.copies import (
    add_spare as add_spare,
)
from longshore.registry.store.copies import (
    location as location,
)
from longshore.registry.store.copies import (
    other_backend as other_backend,
)
from longshore.registry.store.copies import (
    put_location as put_location,
)
from longshore.registry.store.copies import (
    release_spare as release_spare,
)
from longshore.registry.store.copies import (
    replace_location as replace_location,
)
from longshore.registry.store.copies import (
    settle_copy as settle_copy,
)
from longshore.registry.store.copies import (
    spare_exists as spare_exists,
)
from longshore.registry.store.copies import (
    spare_is_free as spare_is_free,
)
from longshore.registry.store.installation import (
    adoption_state as adoption_state,
)
from longshore.registry.store.installation import (
    remembered as remembered,
)
from longshore.registry.store.installation import (
    set_adoption_state as set_adoption_state,
)
from longshore.registry.store.manifests import (
    adopt_fallback_referrers as adopt_fallback_referrers,
)
from longshore.registry.store.manifests import (
    claim_references as claim_references,
)
from longshore.registry.store.manifests import (
    delete_manifest as delete_manifest,
)
from longshore.registry.store.manifests import (
    find_manifest as find_manifest,
)
from longshore.registry.store.manifests import (
    list_referrers as list_referrers,
)
from longshore.registry.store.manifests import (
    missing_references as missing_references,
)
from longshore.registry.store.manifests import (
    put_manifest as put_manifest,
)
from longshore.registry.store.manifests import (
    quarantined_manifest as quarantined_manifest,
)
from longshore.registry.store.manifests import (
    rescue_manifest as rescue_manifest,
)
from longshore.registry.store.repositories import (
    ensure_repository as ensure_repository,
)
from longshore.registry.store.repositories import (
    list_repositories as list_repositories,
)
from longshore.registry.store.repositories import (
    repository_id as repository_id,
)
from longshore.registry.store.tags import (
    delete_tag as delete_tag,
)
from longshore.registry.store.tags import (
    list_tags as list_tags,
)
from longshore.registry.store.tags import (
    put_tag as put_tag,
)
from longshore.registry.store.uploads import (
    claim_upload as claim_upload,
)
from longshore.registry.store.uploads import (
    count_uploads as count_uploads,
)
from longshore.registry.store.uploads import (
    create_upload as create_upload,
)
from longshore.registry.store.uploads import (
    delete_idle_upload as delete_idle_upload,
)
from longshore.registry.store.uploads import (
    delete_upload as delete_upload,
)
from longshore.registry.store.uploads import (
    find_upload as find_upload,
)
from longshore.registry.store.uploads import (
    idle_uploads as idle_uploads,
)
from longshore.registry.store.uploads import (
    known_uploads as known_uploads,
)
from longshore.registry.store.uploads import (
    record_upload as record_upload,
)
from longshore.registry.store.uploads import (
    touch_upload as touch_upload,
)
