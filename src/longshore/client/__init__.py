"""A client for any registry: the library under `longshore push`, `pull`, `copy` and the others.

    registry.py       RegistryClient: one registry; ping, catalog, repositories by name
    repository.py     Repository: manifests, tags, blobs, referrers; a source and a target
    layout.py         OciLayout: an image layout directory; a source and a target
    archive.py        what `docker save` writes, and layouts in a tar archive; sources
    archive_writer.py an archive that `docker load` accepts; a target
    copying.py        copy(source, target): the engine

    transport.py      one HTTP exchange: addresses, retries, redirects, errors
    authorization.py  challenges answered: Basic, Bearer, tokens kept until they expire
    dockerconfig.py   the logins that docker, podman and Longshore share

Nothing here is imported by the package itself, so that `import longshore.client.errors` is cheap.
"""
