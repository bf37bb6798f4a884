"""The composition root: configuration -> everything, in one place and in order.

:func:`prepare` runs once, before any worker exists; :func:`service` runs in every worker and builds
what answers requests. Nothing happens on import, nothing is global.
"""

from longshore.app.installation import Installation as Installation
from longshore.app.installation import database_url as database_url
from longshore.app.installation import encryption as encryption
from longshore.app.installation import prepare as prepare
from longshore.app.installation import sealing as sealing
from longshore.app.services import service as service
from longshore.app.services import work_service as work_service
