from tests.config.loading import config

__all__ = ["config"]
