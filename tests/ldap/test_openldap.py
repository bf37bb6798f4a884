"""People, groups and their passwords, asked of a real OpenLDAP."""

from dataclasses import replace

import anyio
import pytest

from longshore.ldap.directory import Directory
from longshore.ldap.model import (
    DirectoryRefused,
    DirectoryUnavailable,
    GroupSearch,
    Person,
    Reason,
    Refusal,
    Trace,
)
from tests.ldap.servers import asked, plain
from tests.services.certificates import Authority
from tests.services.openldap import BASE, GROUPS, PASSWORD_END, PEOPLE, PERSONS, OpenLDAP

pytestmark = [pytest.mark.anyio, pytest.mark.service]


@pytest.fixture
def directory(openldap: OpenLDAP, authority: Authority) -> Directory:
    return Directory(plain(openldap, authority))


async def test_whoever_has_the_password_is_told_apart_by_what_never_changes(
    directory: Directory,
) -> None:
    found = await directory.log_in("alice", f"alice{PASSWORD_END}")

    assert isinstance(found, Person)
    assert (found.dn, found.uid) == (f"uid=alice,{PEOPLE}", "alice")
    assert (found.mail, found.real_name) == ("somebody@test.lan", "Alice Person")
    assert found.subject.startswith("uuid:")
    assert not found.is_admin


async def test_groups_in_groups_are_found_at_any_depth_and_circles_end(
    directory: Directory,
) -> None:
    found = await directory.log_in("alice", f"alice{PASSWORD_END}")

    assert isinstance(found, Person)
    assert {group.name for group in found.groups} == {"developers", "engineers", "staff", "circle"}
    assert f"cn=staff,{GROUPS}" in {group.dn for group in found.groups}


async def test_without_nesting_one_query_finds_the_groups(
    openldap: OpenLDAP, authority: Authority
) -> None:
    directory = Directory(plain(openldap, authority, groups=GroupSearch(GROUPS, nested=False)))
    trace = Trace()
    found = await directory.log_in("alice", f"alice{PASSWORD_END}", trace)

    assert isinstance(found, Person)
    assert [group.name for group in found.groups] == ["developers"]
    assert len(asked(trace, f"in '{GROUPS}'")) == 1


async def test_unix_groups_name_their_members_by_login_name(directory: Directory) -> None:
    found = await directory.log_in("dave", f"dave{PASSWORD_END}")

    assert isinstance(found, Person)
    assert [group.name for group in found.groups] == ["unix"]


@pytest.mark.parametrize("base", [GROUPS, "", f"cn=staff,{GROUPS}"])
async def test_members_of_the_admin_group_are_administrators_wherever_it_is(
    openldap: OpenLDAP, authority: Authority, base: str
) -> None:
    groups = GroupSearch(base, admins=f"CN=operators, {GROUPS}")
    directory = Directory(plain(openldap, authority, groups=groups))
    carol = await directory.log_in("carol", f"carol{PASSWORD_END}")
    alice = await directory.log_in("alice", f"alice{PASSWORD_END}")

    assert isinstance(carol, Person)
    assert carol.is_admin
    assert isinstance(alice, Person)
    assert not alice.is_admin


async def test_an_admin_group_that_is_not_there_has_no_members(
    openldap: OpenLDAP, authority: Authority
) -> None:
    for admins in (f"cn=nowhere,{BASE}", "no DN"):
        directory = Directory(plain(openldap, authority, groups=GroupSearch(admins=admins)))
        carol = await directory.log_in("carol", f"carol{PASSWORD_END}")
        assert isinstance(carol, Person)
        assert not carol.is_admin


@pytest.mark.parametrize("password", ["", "wrong", "alice", "alice\0", "*", "ä" * 200])
async def test_no_other_password_is_taken(directory: Directory, password: str) -> None:
    assert isinstance(await directory.log_in("alice", password), Refusal)


@pytest.mark.parametrize(
    "name",
    [
        "*", "a*", "alice)(uid=*", "*)(uid=*))(|(uid=*", "alice\\2a", "\\2a", "alice)(&", "(", ")",
        "alice\0", "alice\n", "", " ", "x" * 300, "uid=alice", f"uid=alice,{PEOPLE}", "alice,ou=people",
    ],
)  # fmt: skip
async def test_a_name_is_never_a_filter(directory: Directory, name: str) -> None:
    found = await directory.log_in(name, f"alice{PASSWORD_END}")

    assert isinstance(found, Refusal)
    assert found.reason in (Reason.UNKNOWN, Reason.UNREADABLE)


@pytest.mark.parametrize("name", list(PERSONS))
async def test_names_with_signs_of_filters_log_in_as_themselves(
    directory: Directory, name: str
) -> None:
    found = await directory.log_in(name, f"{name}{PASSWORD_END}")

    assert isinstance(found, Person)
    assert found.uid == name
    if PERSONS[name] == ("guests",):  # their DN is a value in a filter, too
        assert [group.name for group in found.groups] == ["guests"]


async def test_somebody_unknown_costs_the_server_as_much_as_a_wrong_password(
    directory: Directory,
) -> None:
    await directory.ping()
    unknown, wrong = Trace(), Trace()
    await directory.log_in("nobody", "wrong", unknown)
    await directory.log_in("alice", "wrong", wrong)

    def kinds(trace: Trace) -> list[str]:
        return [query.what.split()[0] for query in trace.queries]

    assert kinds(unknown) == kinds(wrong) == ["connect", "bind", "search", "bind"]


async def test_a_name_that_fits_two_logs_nobody_in(
    openldap: OpenLDAP, authority: Authority
) -> None:
    directory = Directory(plain(openldap, authority, uid="mail"))
    found = await directory.log_in("somebody@test.lan", f"alice{PASSWORD_END}")

    assert isinstance(found, Refusal)
    assert found.reason is Reason.AMBIGUOUS


async def test_the_filter_says_who_may_log_in(openldap: OpenLDAP, authority: Authority) -> None:
    only = f"memberOf=cn=guests,{GROUPS}"
    directory = Directory(plain(openldap, authority, filter=only))

    assert isinstance(await directory.log_in("bob", f"bob{PASSWORD_END}"), Person)
    assert isinstance(await directory.log_in("alice", f"alice{PASSWORD_END}"), Refusal)


async def test_a_trace_shows_each_query_with_its_time_and_result_and_no_password(
    directory: Directory,
) -> None:
    trace = Trace()
    await directory.log_in("alice", f"alice{PASSWORD_END}", trace)
    text = "\n".join(f"{query.what} {query.server} {query.result}" for query in trace.queries)

    assert "connect with StartTLS" in text
    assert "(&(objectClass=inetOrgPerson)(uid=alice))" in text
    assert f"1 found: uid=alice,{PEOPLE}" in text
    assert "the password is right" in text
    assert PASSWORD_END not in text
    assert "search-password" not in text
    assert all(query.milliseconds > 0 for query in trace.queries)


async def test_the_server_sees_nothing_out_of_order(
    directory: Directory, openldap: OpenLDAP
) -> None:
    openldap.service.mark()
    await directory.log_in("alice", f"alice{PASSWORD_END}")
    seen = ""
    for _ in range(100):
        if "UNBIND" in (seen := openldap.service.tail()):
            break
        await anyio.sleep(0.05)
    assert "UNBIND" in seen
    assert "unknown LDAP request" not in seen


async def test_both_kinds_of_tls_are_checked_against_the_authority(
    openldap: OpenLDAP, authority: Authority
) -> None:
    for url in (openldap.url, openldap.tls_url):
        trusting = plain(openldap, authority, urls=(url,))
        await Directory(trusting).ping()
        with pytest.raises(DirectoryUnavailable, match=r"not trusted.*set cafile"):
            await Directory(replace(trusting, ca_file=None)).ping()
        await Directory(replace(trusting, ca_file=None, verify=False)).ping()


async def test_a_certificate_for_another_name_is_not_trusted(
    openldap: OpenLDAP, authority: Authority
) -> None:
    url = openldap.tls_url.replace("127.0.0.1", "localhost")
    with pytest.raises(DirectoryUnavailable, match="not trusted"):
        await Directory(plain(openldap, authority, urls=(url,))).ping()


async def test_without_tls_only_if_that_is_wanted(openldap: OpenLDAP, authority: Authority) -> None:
    trace = Trace()
    await Directory(plain(openldap, authority, start_tls=False)).ping(trace)
    assert asked(trace, "connect without TLS")


async def test_without_searchdn_nobody_in_particular_searches(
    openldap: OpenLDAP, authority: Authority
) -> None:
    directory = Directory(plain(openldap, authority, search_dn="", search_password=""))
    assert [group.name for group in await directory.search_groups("staff")] == ["staff"]
    # People are shown to none but those who logged in.
    with pytest.raises(DirectoryRefused, match="whoever searches has not the right to"):
        await directory.log_in("alice", f"alice{PASSWORD_END}")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"search_password": "wrong"}, "does not let searchdn 'cn=search,dc=test,dc=lan' in"),
        ({"base": "ou=nowhere,dc=test,dc=lan"}, "no such entry: is the base DN right"),
        ({"base": "nonsense"}, "no DN that the server understands"),
        ({"base": "dc=example,dc=com"}, "is the base DN right|not on this server"),
    ],
)
async def test_a_configuration_that_does_not_fit_is_explained(
    openldap: OpenLDAP, authority: Authority, change: dict[str, str], sentence: str
) -> None:
    with pytest.raises(DirectoryRefused, match=sentence):
        await Directory(plain(openldap, authority, **change)).ping()


async def test_people_and_groups_are_searched_by_a_part_of_their_name(directory: Directory) -> None:
    assert {person.uid for person in await directory.search_people("a")} >= {
        "alice",
        "carol",
        "dave",
    }
    assert [person.uid for person in await directory.search_people("*")] == ["star*"]
    assert len(await directory.search_people("", limit=2)) == 2
    assert [group.name for group in await directory.search_groups("engin")] == ["engineers"]
    (found,) = await directory.search_groups(dn=f"cn=staff,{GROUPS}")
    assert found.name == "staff"
    assert await directory.search_groups(dn=f"cn=nowhere,{GROUPS}") == []
    assert await directory.search_groups(dn="nonsense") == []


async def test_somebody_is_looked_up_without_their_password(directory: Directory) -> None:
    found = await directory.look_up("carol")
    assert isinstance(found, Person)
    assert found.is_admin
    assert isinstance(await directory.look_up("nobody"), Refusal)
