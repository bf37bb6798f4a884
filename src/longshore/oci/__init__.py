"""The OCI specifications as values: pure, standard library only, no I/O.

Everything that arrives from outside is parsed here once; below the border the program passes
:class:`~longshore.oci.digest.Digest`, :class:`~longshore.oci.names.RepositoryName` and friends,
never bare strings whose grammar somebody may have checked.
"""
