"""What rules allow, and which are refused at once."""

from typing import Any

import pytest
from pydantic import ValidationError

from longshore.access.model import Action
from longshore.workload import presets
from longshore.workload.rules import Rules
from longshore.workload.settings import GITHUB, IssuerSettings, WorkloadSettings

PULL, PUSH, DELETE = Action.PULL, Action.PUSH, Action.DELETE


def rules(*entries: dict[str, Any], **issuer: Any) -> Rules:
    return Rules(
        IssuerSettings.model_validate(
            {"name": "ci", "issuer": "https://ci.example.org", "rules": list(entries), **issuer}
        )
    )


def may(found: Rules, claims: dict[str, Any], repository: str) -> set[Action]:
    fitting = found.fitting(claims)
    return set(fitting.may(repository)) if fitting else set()


def test_all_claims_of_a_rule_must_fit_and_rules_add_up() -> None:
    found = rules(
        {"claims": {"repository": "octo/*", "ref": "refs/heads/main"}, "repositories": ["team/app"], "actions": ["push"]},
        {"claims": {"repository": "octo/app"}, "repositories": ["team/**"], "lifetime": "2h"},
    )  # fmt: skip
    main = {"repository": "octo/app", "ref": "refs/heads/main"}

    assert may(found, main, "team/app") == {PULL, PUSH}
    assert may(found, main, "team/app/x") == {PULL}
    assert may(found, main, "teams/app") == set()
    assert may(found, {**main, "ref": "refs/heads/dev"}, "team/app") == {PULL}
    assert may(found, {**main, "repository": "octo/other"}, "team/app") == {PULL, PUSH}
    assert may(found, {**main, "repository": "octo/a/b"}, "team/app") == set()
    assert may(found, {"ref": "refs/heads/main"}, "team/app") == set()
    fitting = found.fitting(main)
    assert fitting is not None
    assert fitting.lifetime == 7200
    assert found.why_not({"ref": ["a"]}) == (
        "no rule of longshore.workload fits it: ref is 'a', repository is missing"
    )


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [
        ("refs/heads/*", "refs/heads/main", True),
        ("refs/heads/*", "refs/heads/a/b", False),
        ("refs/**", "refs/heads/a/b", True),
        ("a.c", "abc", False),
        ("main", "main\n", False),
        ("main", "MAIN", False),
        ("true", True, True),
        ("7", 7, True),
        ("b", ["a", "b"], True),
        ("b", {"b": 1}, False),
        ("**", None, False),
    ],
)
def test_what_fits_a_pattern(pattern: str, value: Any, fits: bool) -> None:
    found = rules({"claims": {"x": pattern}, "repositories": ["a/b"]})
    assert (found.fitting({"x": value}) is not None) is fits


def test_a_claim_in_a_repository_cannot_become_a_pattern() -> None:
    found = rules(
        {"claims": {"sub": "me"}, "repositories": ["{path}", "{path}/**"], "actions": ["delete"]}
    )

    def open_to(path: Any, repository: str) -> set[Action]:
        return may(found, {"sub": "me", "path": path}, repository)

    assert open_to("Team/App", "team/app") == {DELETE}
    assert open_to("team/app", "team/app/x") == {DELETE}
    assert open_to("team/app", "team/apps") == set()
    for evil in ("**", "*", "team/*", "", "team/", "/team", "te am", "../x", None, ["a", "b"], 7.5):
        for repository in ("team/app", "other/app", "team", "x"):
            assert open_to(evil, repository) == set(), evil


def test_kubernetes_claims_are_read_from_where_the_cluster_writes_them() -> None:
    claims = {
        "sub": "system:serviceaccount:build:builder",
        "namespace": "forged",
        "kubernetes.io": {"namespace": "build", "serviceaccount": {"name": "builder", "uid": "1"}},
    }
    read = presets.read("kubernetes", claims)
    assert (read["namespace"], read["serviceaccount"]) == ("build", "builder")
    assert "namespace" not in presets.read("kubernetes", {"namespace": "forged"})
    assert presets.named("kubernetes", claims) == "system:serviceaccount:build:builder"
    assert presets.named("github", {"repository": "octo/app", "sub": "x"}) == "octo/app"
    assert presets.named(None, {"sub": "a\nb"}) == "a?b"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"preset": "github", "rules": [{"claims": {"ref": "x"}, "repositories": ["a"]}]}, "whose pipelines"),
        ({"preset": "github", "rules": [{"claims": {"repository": "*/app"}, "repositories": ["a"]}]}, "whose pipelines"),
        ({"preset": "gitlab", "rules": [{"claims": {"ref": "x"}, "repositories": ["a"]}]}, "whose pipelines"),
        ({"issuer": "https://x", "rules": [{"claims": {}, "repositories": ["a"]}]}, "claims is empty"),
        ({"issuer": "https://x", "rules": [{"claims": {"a": "b"}, "repositories": ["a***"]}]}, "no repository pattern"),
        ({"issuer": "https://x", "rules": [{"claims": {"a": "b"}, "repositories": ["{a b}"]}]}, "brace"),
        ({"issuer": "https://x", "rules": [{"claims": {"a": "b"}, "repositories": ["a"], "lifetime": "48h"}]}, "86400"),
        ({"issuer": "https://x", "rules": []}, "at least 1"),
        ({"rules": [{"claims": {"a": "b"}, "repositories": ["a"]}]}, "issuer is missing"),
        ({"issuer": "https://x", "jwks": "a", "jwksuri": "https://y", "rules": [{"claims": {"a": "b"}, "repositories": ["a"]}]}, "one place"),
    ],
)  # fmt: skip
def test_rules_that_would_let_in_too_many_are_refused(
    settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValidationError, match=reason):
        WorkloadSettings.model_validate({"issuers": [{"name": "ci", **settings}]})


def test_two_issuers_differ() -> None:
    entry = {"preset": "github", "rules": [{"claims": {"sub": "x"}, "repositories": ["a"]}]}
    for names in (["a", "a"], ["a", "b"]):
        with pytest.raises(ValidationError, match="two issuers have the"):
            WorkloadSettings.model_validate({"issuers": [{"name": n, **entry} for n in names]})
    assert (
        WorkloadSettings.model_validate({"issuers": [{"name": "a", **entry}]}).issuers[0].url
        == GITHUB
    )
