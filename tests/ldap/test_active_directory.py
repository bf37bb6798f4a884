"""What Active Directory does differently, asked of a real domain controller (Samba)."""

import re
from dataclasses import replace

import pytest

from longshore.ldap.directory import Directory
from longshore.ldap.model import DirectoryRefused, GroupSearch, Person, Reason, Refusal, Trace
from tests.ldap.servers import asked, domain
from tests.services.certificates import Authority
from tests.services.samba import BASE, LOCKED_AFTER, PASSWORD, USERS, Samba

pytestmark = [pytest.mark.anyio, pytest.mark.service]


@pytest.fixture
def directory(samba: Samba, authority: Authority) -> Directory:
    return Directory(domain(samba, authority))


async def test_one_query_follows_groups_in_groups(directory: Directory) -> None:
    trace = Trace()
    found = await directory.log_in("alice", PASSWORD, trace)

    assert isinstance(found, Person)
    assert {group.name for group in found.groups} == {"developers", "engineers", "staff"}
    assert len(asked(trace, "member:1.2.840.113556.1.4.1941:=")) == 2  # and whether an admin
    assert not found.is_admin


async def test_an_administrator_is_found_by_the_same_query(directory: Directory) -> None:
    trace = Trace()
    found = await directory.log_in("carol", PASSWORD, trace)

    assert isinstance(found, Person)
    assert found.is_admin
    assert len(asked(trace, "member:1.2.840.113556.1.4.1941:=")) == 1


async def test_groups_in_the_admin_group_count_without_a_place_for_groups(
    samba: Samba, authority: Authority
) -> None:
    groups = GroupSearch(admins=f"cn=staff,{USERS.lower()}")
    found = await Directory(domain(samba, authority, groups=groups)).log_in("alice", PASSWORD)
    alone = replace(groups, nested=False)
    direct = await Directory(domain(samba, authority, groups=alone)).log_in("alice", PASSWORD)

    assert isinstance(found, Person)
    assert found.is_admin
    assert found.groups == ()
    assert isinstance(direct, Person)
    assert not direct.is_admin


async def test_every_form_of_a_name_is_the_same_account(directory: Directory) -> None:
    forms = ("alice", "ALICE", "alice@ad.test", "Alice@AD.TEST", "AD\\alice", "ad\\Alice")
    found = [await directory.log_in(form, PASSWORD) for form in forms]

    assert {person.subject for person in found if isinstance(person, Person)} == {
        found[0].subject if isinstance(found[0], Person) else ""
    }
    assert all(isinstance(person, Person) and person.uid == "alice" for person in found)
    assert isinstance(found[0], Person)
    assert re.fullmatch(r"guid:[0-9a-f-]{36}", found[0].subject)


@pytest.mark.parametrize(
    "form",
    ["OTHER\\alice", "alice@other.test", "\\alice", "AD\\", "@ad.test", "AD\\*", "*@ad.test"],
)
async def test_another_domains_user_is_nobody_here(directory: Directory, form: str) -> None:
    found = await directory.log_in(form, PASSWORD)
    assert isinstance(found, Refusal)
    assert found.reason is Reason.UNKNOWN


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("expired", "the account has expired (result 49, data 701)"),
        ("disabled", "the account is disabled in the domain (result 49, data 533)"),
        (
            "mustchange",
            "the password must be changed in the domain before the first login (result 49, data 773)",
        ),
    ],
)
async def test_why_a_right_password_is_refused_is_said(
    directory: Directory, name: str, sentence: str
) -> None:
    assert await directory.log_in(name, PASSWORD) == Refusal(Reason.REFUSED, sentence)


async def test_a_locked_account_is_called_so(directory: Directory) -> None:
    for attempt in range(LOCKED_AFTER):
        found = await directory.log_in("locked", f"wrong {attempt}")
        assert isinstance(found, Refusal)
        assert "data 52e" in found.sentence
    found = await directory.log_in("locked", PASSWORD)
    assert isinstance(found, Refusal)
    assert found.sentence == (
        "the account is locked after too many wrong passwords (result 49, data 775)"
    )


async def test_without_tls_the_domain_says_what_to_do(samba: Samba, authority: Authority) -> None:
    clear = domain(samba, authority, urls=(samba.url,), start_tls=False)
    with pytest.raises(DirectoryRefused, match="write ldaps:// or set starttls"):
        await Directory(clear).ping()
    await Directory(replace(clear, start_tls=True)).ping()


async def test_where_else_one_might_search_is_passed_over(directory: Directory) -> None:
    # A search from the top of a domain ends with referrals to its other parts.
    trace = Trace()
    assert [person.uid for person in await directory.search_people("alic", trace=trace)] == [
        "alice"
    ]
    assert asked(trace, f"in '{BASE}'")


async def test_a_base_of_another_domain_is_explained(samba: Samba, authority: Authority) -> None:
    with pytest.raises(DirectoryRefused, match="base DN"):
        await Directory(domain(samba, authority, base="DC=other,DC=test")).ping()
