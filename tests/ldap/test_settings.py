"""Mistakes in longshore.ldap are found before anybody logs in."""

import pytest
from pydantic import ValidationError

from longshore.ldap import filters, names
from longshore.ldap.directory import Directory
from longshore.ldap.model import Address, LDAPServer, parse_url
from longshore.ldap.settings import LDAPServerSettings, LDAPSettings

SERVER = {"name": "corp", "url": "ldaps://dc1", "basedn": "dc=corp"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"url": "https://dc1"}, "is no LDAP server: write ldaps://HOST"),
        ({"url": "ldap://dc1:99999"}, "is no LDAP server"),
        ({"url": "ldap://dc1/dc=corp?uid"}, "says more than where the server is"),
        ({"url": " "}, "a server needs a URL"),
        ({"searchdn": "cn=search"}, "searchdn and searchpassword belong together"),
        ({"searchpassword": "secret"}, "searchdn and searchpassword belong together"),
        ({"basedn": ""}, "basedn"),
        ({"name": "Corp\n"}, "name"),
        ({"timeout": "0s"}, "greater than 0"),
        ({"scope": "all"}, "'base', 'onelevel' or 'subtree'"),
    ],
)
def test_a_server_that_cannot_be_is_refused(change: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        LDAPServerSettings.model_validate({**SERVER, **change})


def test_two_servers_have_two_names() -> None:
    with pytest.raises(ValidationError, match="two servers are called 'corp'"):
        LDAPSettings.model_validate({"servers": [SERVER, SERVER]})


@pytest.mark.parametrize("text", ["(uid=", "(&(a=b)", "(a=b))", "()", "(" * 3000, "x" * 5000])
def test_a_filter_that_is_none_is_called_so(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no LDAP filter|at most 4096"):
        Directory(LDAPServer("corp", ("ldap://dc1",), "dc=corp", filter=text))


def test_outer_parentheses_may_be_left_out() -> None:
    assert str(filters.parse("objectClass=person")) == "(objectClass=person)"
    assert str(filters.parse("&(a=b)(c=d)")) == "(&(a=b)(c=d))"
    assert filters.parse(" ") is None


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("ldap://dc1", Address("dc1", 389, tls=False)),
        ("ldaps://dc1/", Address("dc1", 636, tls=True)),
        ("ldaps://[::1]:3269", Address("::1", 3269, tls=True)),
        ("dc1:3389", Address("dc1", 3389, tls=False)),
    ],
)
def test_where_a_server_is(url: str, address: Address) -> None:
    assert parse_url(url) == address


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CN=Devs,OU=Groups,DC=corp", "cn=devs, ou=groups , dc=Corp"),
        (r"cn=a\,b,dc=corp", r"CN=a\2Cb,DC=corp"),
        (r"cn=M\c3\bcller,dc=corp", "cn=müller,dc=corp"),
        ("cn=a+uid=b,dc=corp", "UID=b+CN=a,dc=corp"),
        ("cn=two  words,dc=corp", "cn=Two Words,dc=corp"),
    ],
)
def test_one_name_written_in_two_ways(one: str, other: str) -> None:
    assert names.normalized(one) == names.normalized(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"cn=a\,dc=b,dc=corp", "cn=a,dc=b,dc=corp"),
        ("cn=admins,dc=corp", "cn=admins,dc=corp2"),
        (r"cn=a\+cn=b,dc=corp", "cn=a+cn=b,dc=corp"),
    ],
)
def test_two_names_stay_two(one: str, other: str) -> None:
    assert names.normalized(one) != names.normalized(other)


def test_parts_of_a_name() -> None:
    assert names.relative(r"CN=Last\, First,OU=x") == "Last, First"
    assert names.domain("CN=Users,DC=ad,DC=Test") == "ad.test"
    assert names.domain("cn=x") == ""
