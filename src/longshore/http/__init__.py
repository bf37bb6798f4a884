"""HTTP: routes, request and reply, errors on the wire, ranges, paging, and the process server.

The only home of the web framework. Nothing here knows what a registry is.
"""
