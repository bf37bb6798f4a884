"""Loading configurations."""

from tests.config.loading import config as config
