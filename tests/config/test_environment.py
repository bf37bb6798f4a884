"""distribution's rule for REGISTRY_* variables, point by point, and what Longshore adds."""

from pathlib import Path

import pytest

from longshore.access.settings import AuthSettings
from longshore.config import shape
from longshore.config.compat import ROWS
from longshore.config.document import Entries, plain
from longshore.config.environment import overlay
from longshore.config.load import load
from longshore.config.problems import Report
from longshore.config.section import Section, setting
from longshore.db.settings import DatabaseSettings
from longshore.http.settings import HTTPSettings, ServerSettings
from longshore.registry.settings import ValidationSettings
from longshore.settings import SECTIONS
from longshore.storage.settings import DRIVERS, StorageSettings
from longshore.telemetry.settings import HealthSettings, LogLevel, LogSettings
from tests.config.loading import Loader


def overlaid(**environ: str) -> object:
    """The values that variables make of an empty file."""
    root = Entries()
    overlay(root, shape.build(SECTIONS, ROWS), environ, Report())
    return plain(root)


class TestDistributionsRule:
    """Named after the points of the rule; the numbers are their order there."""

    def test_01_a_name_is_split_at_underscores(self, config: Loader):
        loaded = config(
            REGISTRY_HTTP_TLS_MINIMUMTLS="tls1.3", REGISTRY_LOG_ACCESSLOG_DISABLED="true"
        )

        assert loaded[HTTPSettings].tls.minimumtls == "tls1.3"
        assert loaded[LogSettings].accesslog.disabled

    def test_01_a_parent_is_applied_before_its_children_whatever_their_order(self, config: Loader):
        loaded = config(
            REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY="/data", REGISTRY_STORAGE="filesystem"
        )

        assert loaded[StorageSettings].parameters.rootdirectory == Path("/data")

    @pytest.mark.parametrize("spelling", ["FILECHECKERS", "FILE"])
    def test_02_a_table_takes_the_name_of_the_source_and_that_of_the_file(
        self, config: Loader, spelling: str
    ):
        loaded = config(**{f"REGISTRY_HEALTH_{spelling}_0_FILE": "/tmp/down"})

        assert loaded[HealthSettings].file[0].file == "/tmp/down"

    @pytest.mark.parametrize(
        ("name", "key"),
        [
            ("HEALTH_HTTPCHECKERS_0_URI", "health.http"),
            ("HEALTH_HTTP_0_URI", "health.http"),
            ("HEALTH_TCPCHECKERS_0_ADDR", "health.tcp"),
            ("NOTIFICATIONS_EVENTCONFIG_INCLUDEREFERENCES", "notifications.events"),
            ("NOTIFICATIONS_EVENTS_INCLUDEREFERENCES", "notifications.events"),
            ("REDIS_ADDRS", "redis.addrs"),
            ("LOG_HOOKS_0_MAILOPTIONS_SMTP_ADDR", "log.hooks"),
        ],
    )
    def test_02_every_name_that_differs_in_the_source_is_known(self, name: str, key: str):
        found = overlaid(**{f"REGISTRY_{name}": "http://x"})

        for step in key.split("."):
            assert isinstance(found, dict)
            found = found[step]
        assert found

    def test_03_a_free_key_is_found_without_regard_to_case(self, config: Loader):
        loaded = config(
            {"version": 0.1, "storage": "inmemory", "http": {"headers": {"X-Frame": ["a"]}}},
            **{"REGISTRY_HTTP_HEADERS_X-FRAME": "[b]"},
        )

        assert loaded[HTTPSettings].headers == {"X-Frame": ("b",)}

    def test_03_a_new_free_key_is_made_in_lower_case(self, config: Loader):
        loaded = config(REGISTRY_LOG_FIELDS_SERVICE="registry")

        assert loaded[LogSettings].fields == {"service": "registry"}

    def test_04_an_index_changes_an_item_or_appends_one(self, config: Loader):
        file = {"version": 0.1, "storage": "inmemory", "health": {"tcp": [{"addr": "a:1"}]}}
        loaded = config(
            file,
            REGISTRY_HEALTH_TCPCHECKERS_0_THRESHOLD="3",
            REGISTRY_HEALTH_TCPCHECKERS_1_ADDR="b:2",
        )

        assert [(each.addr, each.threshold) for each in loaded[HealthSettings].tcp] == [
            ("a:1", 3),
            ("b:2", 0),
        ]

    def test_04_an_index_behind_the_end_is_an_error(self, config: Loader):
        assert config.problems(REGISTRY_HEALTH_TCPCHECKERS_1_ADDR="b:2") == [
            (
                "health.tcp[1]: the list has 0 so far; the next index is 0 "
                "(REGISTRY_HEALTH_TCPCHECKERS_1_ADDR)"
            )
        ]

    def test_04_more_than_ten_items_can_be_given(self, config: Loader):
        loaded = config(**{f"REGISTRY_HEALTH_TCP_{n}_ADDR": f"h:{n}" for n in range(12)})

        assert [each.addr for each in loaded[HealthSettings].tcp] == [f"h:{n}" for n in range(12)]

    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("HTTP_HEADERS", "{A: [x, y], B: [z]}", {"http": {"headers": {"A": ["x", "y"], "B": ["z"]}}}),
            ("HTTP_DEBUG_PROMETHEUS_ENABLED", "true", {"http": {"debug": {"prometheus": {"enabled": True}}}}),
            ("HTTP_DRAINTIMEOUT", "30s", {"http": {"draintimeout": "30s"}}),
            ("HTTP_TLS_CLIENTCAS", "[/a, /b]", {"http": {"tls": {"clientcas": ["/a", "/b"]}}}),
            ("STORAGE_DELETE", "{enabled: true}", {"storage": {"delete": {"enabled": True}}}),
        ],
    )  # fmt: skip
    def test_05_a_value_is_yaml(self, name: str, value: str, expected: object):
        assert overlaid(**{f"REGISTRY_{name}": value}) == expected

    def test_05_a_duration_may_be_quoted_too(self, config: Loader):
        assert config(REGISTRY_HTTP_DRAINTIMEOUT='"5s"')[HTTPSettings].draintimeout == 5

    def test_06_an_unknown_name_is_a_warning(self, config: Loader):
        assert config.warnings(REGISTRY_HTTP_ADR=":1") == [
            "REGISTRY_HTTP_ADR: ignored: no key has this name; did you mean REGISTRY_HTTP_ADDR?"
        ]

    def test_06_what_kubernetes_sets_for_a_service_is_ignored_quietly(self, config: Loader):
        for service in ("REGISTRY", "REGISTRY_REDIS", "REGISTRY_HTTP", "LONGSHORE"):
            found = config.warnings(
                **{
                    f"{service}_PORT": "tcp://10.0.0.1:5000",
                    f"{service}_SERVICE_HOST": "10.0.0.1",
                    f"{service}_SERVICE_PORT": "5000",
                    f"{service}_SERVICE_PORT_HTTP": "5000",
                    f"{service}_PORT_5000_TCP": "tcp://10.0.0.1:5000",
                    f"{service}_PORT_5000_TCP_PROTO": "tcp",
                    f"{service}_PORT_5000_TCP_PORT": "5000",
                    f"{service}_PORT_5000_TCP_ADDR": "10.0.0.1",
                }
            )
            assert found == []

    def test_06_a_key_that_looks_like_such_a_variable_is_still_set(self, config: Loader):
        loaded = config(REGISTRY_LOG_FIELDS_PORT="5000")

        assert loaded[LogSettings].fields == {"port": "5000"}

    def test_07_a_name_with_an_underscore_is_found_by_the_longest_match(self):
        assert overlaid(REGISTRY_STORAGE_AZURE_MAX_RETRIES="3") == {
            "storage": {"azure": {"max_retries": 3}}
        }

    def test_08_a_driver_as_the_whole_value_replaces_the_whole_table(self, config: Loader):
        file = {"version": 0.1, "storage": {"filesystem": {}, "delete": {"enabled": True}}}
        storage = config(file, REGISTRY_STORAGE="inmemory")[StorageSettings]

        assert storage.driver == "inmemory"
        assert storage.delete.enabled is None

    def test_08_a_driver_of_a_variable_wins_over_that_of_the_file_and_says_so(self, config: Loader):
        file = {"version": 0.1, "storage": {"inmemory": {}, "delete": {"enabled": True}}}
        loaded = config(file, REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY="/data")

        assert loaded[StorageSettings].driver == "filesystem"
        assert loaded[StorageSettings].delete.enabled
        assert [warning.message for warning in loaded.warnings] == [
            "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY chooses filesystem, so inmemory is not used"
        ]

    def test_08_two_drivers_in_variables_are_a_problem(self, config: Loader):
        problems = config.problems(
            REGISTRY_STORAGE="inmemory", REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY="/data"
        )

        assert problems == [
            (
                "storage: only one may be chosen; found inmemory (REGISTRY_STORAGE) and filesystem "
                "(REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY)"
            )
        ]

    def test_08_a_driver_that_is_not_there_is_named_with_the_variable(self, config: Loader):
        assert config.problems(REGISTRY_STORAGE_S3AWS_BUCKET="images") == [
            (
                "storage.s3aws: is the driver s3 under its old name; write storage.s3; there are: "
                f"{', '.join(DRIVERS)} (REGISTRY_STORAGE_S3AWS_BUCKET)"
            )
        ]

    def test_09_the_three_variables_of_a_password_file_work_together(self, config: Loader):
        loaded = config(
            REGISTRY_AUTH="htpasswd",
            REGISTRY_AUTH_HTPASSWD_REALM="Registry Realm",
            REGISTRY_AUTH_HTPASSWD_PATH="/auth/htpasswd",
        )

        auth = loaded[AuthSettings]
        assert auth.method == "htpasswd"
        assert auth.htpasswd is not None
        assert (auth.htpasswd.realm, auth.htpasswd.path) == (
            "Registry Realm",
            Path("/auth/htpasswd"),
        )

    def test_09_the_path_of_a_password_file_is_enough(self, config: Loader):
        auth = config(REGISTRY_AUTH_HTPASSWD_PATH="/auth/htpasswd")[AuthSettings]

        assert auth.htpasswd is not None
        assert auth.htpasswd.path == Path("/auth/htpasswd")

    def test_10_the_path_of_the_file_may_come_from_a_variable(self, config: Loader):
        path = config.write("{version: 0.1, storage: inmemory, log: {level: debug}}")
        loaded = load(None, {"REGISTRY_CONFIGURATION_PATH": str(path)}, SECTIONS)

        assert loaded.source == path
        assert loaded[LogSettings].level is LogLevel.DEBUG

    def test_10_an_argument_wins_over_that_variable(self, config: Loader):
        loaded = config(REGISTRY_CONFIGURATION_PATH="/nowhere")

        assert loaded.source == config.path

    @pytest.mark.parametrize("version", ["", "version: 0.2", "version: one"])
    def test_10_a_file_without_a_known_version_is_refused(self, config: Loader, version: str):
        problems = config.problems(f"{version}\nstorage: inmemory\n")

        assert len(problems) == 1
        assert problems[0].startswith("version: ")
        assert "write version: 0.1" in problems[0]

    def test_10_a_variable_cannot_change_the_version(self, config: Loader):
        assert config.warnings(REGISTRY_VERSION="0.2") == [
            "REGISTRY_VERSION: ignored: no key has this name"
        ]

    @pytest.mark.parametrize("image", ["image-v2", "image-v3", "debian"])
    def test_11_the_configuration_of_the_images_is_read_unchanged(self, image: str):
        loaded = load(Path(__file__).with_name("files") / f"{image}.yml", {}, SECTIONS)

        assert loaded[StorageSettings].driver == "filesystem"
        assert loaded[HTTPSettings].addr == ":5000"
        assert loaded[HealthSettings].storagedriver.threshold == 3
        assert {warning.key for warning in loaded.warnings} <= {"storage.cache", "storage.tag"}

    def test_11_what_else_the_image_sets_is_not_ours(self, config: Loader):
        assert config.warnings(OTEL_TRACES_EXPORTER="none", PATH="/bin") == []


class TestLongshoresOwnKeys:
    def test_they_have_a_prefix_of_their_own(self, config: Loader):
        loaded = config(
            LONGSHORE_DATABASE_URL="postgresql://u@h/d",
            LONGSHORE_HTTP_TRUSTEDPROXIES="[10.0.0.0/8]",
        )

        url = loaded[DatabaseSettings].url
        assert url is not None
        assert url.get_secret_value() == "postgresql://u@h/d"
        assert loaded[ServerSettings].trustedproxies == ("10.0.0.0/8",)

    def test_the_other_prefix_reaches_them_too(self, config: Loader):
        assert config(REGISTRY_LONGSHORE_HTTP_WORKERS="3")[ServerSettings].workers == 3

    def test_an_unknown_one_is_a_warning_with_a_proposal(self, config: Loader):
        assert config.warnings(LONGSHORE_DATABSE_URL="x") == [
            (
                "LONGSHORE_DATABSE_URL: ignored: no key has this name; "
                "did you mean LONGSHORE_DATABASE_URL?"
            )
        ]


class TestValues:
    @pytest.mark.parametrize(
        "secret", ["0123", "1e3", "true", "a: b", "[x", "*", "#hidden", "{a}", "%x", "12:30", "x'y"]
    )
    def test_a_text_is_taken_as_it_is_written(self, config: Loader, secret: str):
        loaded = config(REGISTRY_HTTP_SECRET=secret)

        assert loaded[HTTPSettings].secret.get_secret_value() == secret

    def test_a_quoted_text_loses_its_quotes(self, config: Loader):
        loaded = config(REGISTRY_HTTP_SECRET="'a b'")

        assert loaded[HTTPSettings].secret.get_secret_value() == "a b"

    def test_an_empty_value_means_the_default(self, config: Loader):
        file = {"version": 0.1, "storage": "inmemory", "http": {"prefix": "/x"}}

        assert config(file, REGISTRY_HTTP_PREFIX="")[HTTPSettings].prefix == ""

    def test_broken_yaml_is_a_problem_that_names_the_variable(self, config: Loader):
        (problem,) = config.problems(REGISTRY_HTTP_HEADERS="{a: [")

        assert problem.startswith("http.headers: not YAML")
        assert problem.endswith("(REGISTRY_HTTP_HEADERS)")

    def test_a_wrong_value_is_a_problem_that_names_the_variable(self, config: Loader):
        assert config.problems(REGISTRY_STORAGE_DELETE_ENABLED="perhaps") == [
            (
                "storage.delete.enabled: 'perhaps' is neither true nor false "
                "(REGISTRY_STORAGE_DELETE_ENABLED)"
            )
        ]

    def test_a_name_below_a_single_value_is_a_warning(self, config: Loader):
        assert config.warnings(REGISTRY_HTTP_ADDR_HOST="x") == [
            "REGISTRY_HTTP_ADDR_HOST: ignored: http.addr is one value and has nothing below it"
        ]

    def test_a_list_needs_an_index(self, config: Loader):
        (problem,) = config.problems(REGISTRY_HTTP_TLS_CLIENTCAS_FIRST="/ca.pem")

        assert problem.startswith("http.tls.clientcas: is a list, and 'FIRST' is no index")

    def test_a_variable_cannot_hide_that_the_file_has_no_table_there(self, config: Loader):
        problems = config.problems(
            "{version: 0.1, storage: inmemory, http: 5}", REGISTRY_HTTP_ADDR=":1"
        )

        assert problems == [
            "http: is set to something else than a table, so this has no place (REGISTRY_HTTP_ADDR)",
            "http: is not a table; write key: value lines below it (config.yml:1)",
        ]

    def test_the_platforms_of_an_index_may_be_none(self, config: Loader):
        loaded = config(REGISTRY_VALIDATION_MANIFESTS_INDEXES_PLATFORMS="none")

        assert loaded[ValidationSettings].manifests.indexes.platforms == "none"

    def test_a_key_with_an_underscore_wins_over_a_shorter_one(self):
        class Both(Section):
            key = "both"

            max_retries: int = setting(0, "With an underscore.")
            max: int = setting(0, "Without.")

        root = Entries()
        overlay(root, shape.build([Both], []), {"REGISTRY_BOTH_MAX_RETRIES": "2"}, Report())

        assert plain(root) == {"both": {"max_retries": 2}}


class TestBelowOptions:
    """Tables whose content nobody describes: the options of a middleware."""

    def test_keys_are_made_segment_by_segment(self):
        found = overlaid(
            REGISTRY_MIDDLEWARE_REGISTRY_0_NAME="cloudfront",
            REGISTRY_MIDDLEWARE_REGISTRY_0_OPTIONS_BASEURL="https://cdn.example",
            REGISTRY_MIDDLEWARE_REGISTRY_0_OPTIONS_LIST_0="a",
            REGISTRY_MIDDLEWARE_REGISTRY_0_OPTIONS_LIST_1="b",
            REGISTRY_MIDDLEWARE_REGISTRY_0_OPTIONS_DEEP_ER="1",
        )

        options = {"baseurl": "https://cdn.example", "list": ["a", "b"], "deep": {"er": 1}}
        assert found == {"middleware": {"registry": [{"name": "cloudfront", "options": options}]}}

    def test_an_existing_key_is_found_whatever_its_case_and_underscores(self):
        found = overlaid(
            REGISTRY_MIDDLEWARE_REGISTRY="[{options: {private_key: a, Type: b}}]",
            REGISTRY_MIDDLEWARE_REGISTRY_0_OPTIONS_PRIVATE_KEY="c",
            REGISTRY_MIDDLEWARE_REGISTRY_0_OPTIONS_TYPE="d",
        )

        options = {"private_key": "c", "Type": "d"}
        assert found == {"middleware": {"registry": [{"options": options}]}}

    def test_there_is_nothing_below_a_single_value(self, config: Loader):
        problems = config.problems(
            REGISTRY_MIDDLEWARE_REGISTRY_0_OPTIONS="text",
            REGISTRY_MIDDLEWARE_REGISTRY_0_OPTIONS_A="b",
        )

        assert problems[0].startswith("middleware.registry[0].options: is set to something else")
