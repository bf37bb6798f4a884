"""Logins by OpenID providers: in a browser, and at another device for `longshore login`."""
