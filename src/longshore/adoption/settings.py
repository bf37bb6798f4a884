"""Settings of the links in storage."""

from longshore.config.recurrence import Every, Recurring
from longshore.config.section import Section, setting


class LinksSettings(Section):
    key = "longshore.links"

    schedule: Recurring | None = setting(
        Every(3600.0),
        "When to write back to storage, as distribution's links, what has changed: the database can "
        "be rebuilt from them, and distribution can serve them. null: only when "
        "`longshore export-links` is called.",
    )
