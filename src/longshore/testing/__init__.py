"""Shipped with the package for whoever tests against it: contracts, builders, a registry in process."""
