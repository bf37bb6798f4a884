"""Which groups of a provider count."""

import sys

import pytest

from longshore.oidc import group_filter
from longshore.oidc.people import person
from longshore.oidc.settings import ProviderSettings


def provider(filter):
    return ProviderSettings(
        name="one",
        issuer="https://provider.test",
        clientid="longshore",
        groupsclaim="groups",
        groupfilter=filter,
        groupprefix="one/",
    )


def groups(filter, *names):
    return person(provider(filter), {"sub": "1", "groups": list(names)}).groups


def test_names_that_match_somewhere_are_kept():
    assert groups("^dev|ops$", "dev", "devops", "ops", "sales") == (
        "one/dev",
        "one/devops",
        "one/ops",
    )
    assert groups("", "dev", "sales") == ("one/dev", "one/sales")
    assert groups("^Ä", "Ärzte", "Aerzte") == ("one/Ärzte",)


@pytest.mark.timeout(60)
def test_no_expression_and_no_name_take_forever():
    # By going back and forth each of these would outlast everybody.
    for filter in ("(a+)+$", "(a|aa)+$", "(.*a){25}$", "a*a*a*a*a*a*a*a*a*a*b"):
        assert groups(filter, *[f"{'a' * 190}!{number}" for number in range(1000)]) == ()


@pytest.mark.parametrize(
    "filter", ["(", "a{1001}", "a{2,99999999999}", "x" * 1025, "(?=x)", r"(a)\1"]
)
def test_what_is_no_filter_is_refused(filter):
    with pytest.raises(ValueError, match="groupfilter"):
        provider(filter)


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    group_filter._compiled.cache_clear()
    monkeypatch.setitem(sys.modules, "re2", None)
    with pytest.raises(ValueError, match=r"pip install 'longshore\[oidc\]'"):
        provider("^dev")
    assert groups("", "dev") == ("one/dev",)
