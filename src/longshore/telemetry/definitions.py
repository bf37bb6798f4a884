"""Every metric there is, as the documentation lists it."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric, as the documentation lists it."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str


DEFINITIONS: Final = (
    Definition(
        "registry_http_requests_total",
        "counter",
        ("handler", "code", "method"),
        "HTTP requests answered. `handler` is base, manifest, tags, blob, blob_upload, "
        "blob_upload_chunk, catalog or another endpoint's name; `method` is in lower case.",
    ),
    Definition(
        "registry_http_in_flight_requests", "gauge", ("handler",), "HTTP requests being answered."
    ),
    Definition(
        "registry_http_request_duration_seconds",
        "histogram",
        ("handler", "method"),
        "Time from the request's head to the reply's last byte.",
    ),
    Definition(
        "registry_http_request_size_bytes", "histogram", ("handler",), "Size of request bodies."
    ),
    Definition(
        "registry_http_response_size_bytes", "histogram", ("handler",), "Size of reply bodies."
    ),
    Definition(
        "registry_storage_action_seconds",
        "histogram",
        ("driver", "action"),
        "Time of each storage operation. `action` is named as in distribution: GetContent, "
        "PutContent, Stat, List, Move, Delete, RedirectURL and so on.",
    ),
    Definition(
        "registry_storage_cache_requests_total",
        "counter",
        (),
        "Look-ups of manifests in the memory cache.",
    ),
    Definition(
        "registry_storage_cache_hits_total", "counter", (), "Look-ups that the cache answered."
    ),
    Definition(
        "longshore_refused_requests_total",
        "counter",
        ("code",),
        "Refusals by error code: UNAUTHORIZED, DENIED, MANIFEST_UNKNOWN and so on.",
    ),
    Definition(
        "longshore_redirect_failures_total",
        "counter",
        (),
        "Pulls of blobs that should have been redirected to the storage and were not.",
    ),
    Definition(
        "longshore_ldap_request_duration_seconds",
        "histogram",
        ("server", "outcome"),
        "Time of each login or search that an LDAP server was asked for. `outcome` is answered, refused "
        "(the configuration does not fit the server) or unavailable.",
    ),
    Definition("longshore_uploads_open", "gauge", (), "Blob uploads begun and not yet finished."),
    Definition(
        "longshore_blobs_quarantined",
        "gauge",
        (),
        "Blobs and manifests whose stored bytes were found to be damaged or missing.",
    ),
    Definition(
        "longshore_quota_difference_bytes",
        "gauge",
        (),
        "Bytes by which the totals of projects differed from the rows at the last comparison. "
        "Anything but 0 is a fault: `longshore quota check` says where.",
    ),
    Definition(
        "longshore_jobs_total",
        "counter",
        ("kind", "outcome"),
        "Attempts at jobs that ended. `outcome` is done, failed (it is repeated), postponed, dead, "
        "cancelled, stopped (the server ended and gave it back) or lost (another worker has it).",
    ),
    Definition(
        "longshore_job_duration_seconds", "histogram", ("kind",), "Time of each attempt at a job."
    ),
    Definition(
        "longshore_jobs_running", "gauge", ("kind",), "Jobs that are worked on, on all servers."
    ),
    Definition(
        "longshore_jobs_waiting",
        "gauge",
        ("kind",),
        "Jobs that could run now and that nobody has begun.",
    ),
    Definition(
        "longshore_jobs_oldest_waiting_seconds",
        "gauge",
        ("kind",),
        "How long the oldest of them could have run already.",
    ),
    Definition(
        "longshore_jobs_dead",
        "gauge",
        ("kind",),
        "Jobs that failed for good and are still kept.",
    ),
    Definition(
        "longshore_events_total",
        "counter",
        ("listener", "outcome"),
        "Events that were delivered or dropped, and deliveries that failed.",
    ),
    Definition(
        "longshore_events_waiting",
        "gauge",
        ("listener",),
        "Events not yet delivered to a listener.",
    ),
    Definition(
        "longshore_events_oldest_waiting_seconds",
        "gauge",
        ("listener",),
        "Age of the oldest of them.",
    ),
    Definition(
        "longshore_audit_rows_waiting",
        "gauge",
        ("receiver",),
        "Rows of the audit log not yet sent to a receiver.",
    ),
    Definition("longshore_workers", "gauge", (), "Worker processes that are serving."),
    Definition(
        "longshore_resident_memory_bytes",
        "gauge",
        (),
        "Memory of all worker processes; pages that several share are counted for each.",
    ),
    Definition(
        "longshore_build_info", "gauge", ("version",), "Always 1; the label says what runs."
    ),
)

#: Gauges that somebody has to be asked for.
SAMPLED: Final = (
    "longshore_uploads_open",
    "longshore_blobs_quarantined",
    "longshore_quota_difference_bytes",
    "longshore_jobs_running",
    "longshore_jobs_waiting",
    "longshore_jobs_oldest_waiting_seconds",
    "longshore_jobs_dead",
    "longshore_events_waiting",
    "longshore_events_oldest_waiting_seconds",
    "longshore_audit_rows_waiting",
)
