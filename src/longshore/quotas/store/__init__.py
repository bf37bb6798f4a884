"""The SQL of quotas: plain functions on a connection, values in and out."""

from longshore.quotas.store.counting import compare as compare
from longshore.quotas.store.counting import hold_still as hold_still
from longshore.quotas.store.counting import recount as recount
from longshore.quotas.store.counting import snapshot as snapshot
from longshore.quotas.store.limits import find_quota as find_quota
from longshore.quotas.store.limits import list_quotas as list_quotas
from longshore.quotas.store.limits import page_of_quotas as page_of_quotas
from longshore.quotas.store.limits import set_limits as set_limits
from longshore.quotas.store.tracking import install as install
from longshore.quotas.store.tracking import is_absent as is_absent
from longshore.quotas.store.tracking import is_installed as is_installed
from longshore.quotas.store.tracking import remove as remove
from longshore.quotas.store.usage import Standing as Standing
from longshore.quotas.store.usage import largest as largest
from longshore.quotas.store.usage import lock as lock
from longshore.quotas.store.usage import remember_difference as remember_difference
from longshore.quotas.store.usage import remembered_difference as remembered_difference
from longshore.quotas.store.usage import reserve as reserve
from longshore.quotas.store.usage import reserved as reserved
from longshore.quotas.store.usage import settle as settle
from longshore.quotas.store.usage import standing as standing
