"""Clients newer than the machine's distribution has; outside `make check` (see `make docker-new`)."""
