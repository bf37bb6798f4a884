"""The two registries that the client's commands are tested against."""

from tests.client.conftest import open_peer, peer, peers

__all__ = ["open_peer", "peer", "peers"]
