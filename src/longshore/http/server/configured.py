"""The server that a configuration asks for."""

from longshore.http.server.options import ServerOptions
from longshore.http.settings import HTTPSettings, ServerSettings, TLSSettings
from longshore.http.tls import TLSOptions


def server_options(http: HTTPSettings, server: ServerSettings) -> ServerOptions:
    """Options for :func:`longshore.http.server.run.serve`."""
    return ServerOptions(
        address=http.addr,
        unix=http.net == "unix",
        workers=server.workers,
        engine=server.server,
        tls=_tls(http.tls),
        debug_address=http.debug.addr,
        drain=http.draintimeout,
        header_timeout=server.headertimeout,
    )


def _tls(settings: TLSSettings) -> TLSOptions | None:
    if settings.certificate is None or settings.key is None:
        return None
    return TLSOptions(
        certificate=settings.certificate,
        key=settings.key,
        minimum=settings.minimumtls,
        client_authorities=settings.clientcas,
        client_authentication=settings.client_authentication,
    )
