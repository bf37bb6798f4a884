"""Networks as a person writes them in config.yml."""

import ipaddress
from typing import Annotated

from pydantic import AfterValidator


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        raise ValueError(f"{value!r} is not an address or a network such as 10.0.0.0/8") from None


#: An IPv4 or IPv6 network in CIDR form; an address alone is a network of one.
Network = Annotated[str, AfterValidator(_network)]
