"""A client for any registry: the library under `longshore push`, `pull`, `copy` and the others.

    registry.py       RegistryClient: one registry; ping, login, catalog, repositories by name
    repository.py     Repository: manifests, tags, blobs, referrers; a source and a target
    download.py       a blob's bytes, continued where a connection broke
    upload.py         a blob on its way, continued where the registry says
    transport.py      authorized requests; authorization.py and tokens.py answer challenges
    wire.py           one HTTP exchange: attempts, redirects, errors

    content.py        the protocols Source and Target
    copying.py        copy(source, target): the engine
    layout.py         OciLayout: an image layout directory; a source and a target
    docker_save.py    what `docker save` wrote before version 25; a source
    archive_writer.py an archive that `docker load` accepts and that is a layout; a target
    locations.py      all of them by the names that people type

    dockerconfig.py   the logins that docker, podman and Longshore share
    errors.py         what can go wrong

A copy from one registry to another, in full:

    async with Images(LoginFiles(os.environ), Connection()) as images:
        source = await images.source(parse_location("registry.example/team/app:1.4"))
        target = await images.target(parse_location("other.example/team/app"))
        await copy(source, target, "1.4")

The package itself imports nothing, so that `import longshore.client.errors` is cheap.
"""
