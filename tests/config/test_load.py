"""A configuration is judged as a whole: everything that is wrong with it, at once, with its place."""

import os
import socket
from pathlib import Path

import pytest

from longshore.access.settings import AuthSettings
from longshore.config import defaults
from longshore.config.load import Configuration, load
from longshore.config.problems import DEFAULT, ConfigurationInvalid, Problem
from longshore.config.section import Section
from longshore.db.settings import DatabaseSettings
from longshore.http.server.options import Engine
from longshore.http.settings import HTTPSettings, ServerSettings
from longshore.http.tls import ClientAuthentication
from longshore.registry.settings import CatalogSettings, ManifestSettings
from longshore.settings import SECTIONS
from longshore.storage.settings import DRIVERS, StorageSettings
from longshore.telemetry.settings import HealthSettings, LogFormat, LogLevel, LogSettings
from tests.config.loading import LEAST, Loader

HEAD = "version: 0.1\nstorage: inmemory\n"
THERE_ARE = ", ".join(DRIVERS)


class TestProblems:
    def test_all_of_them_are_reported_at_once(self, config: Loader):
        problems = config.problems(
            """\
            version: 0.1
            storage: {filesystem: {rootdirectroy: /data}}
            http:
              draintimeout: 30
              tls: {key: /key.pem}
            longshore:
              http: {workers: many, trustedproxies: [10.0.0.0/8, home]}
            """,
            REGISTRY_LOG_LEVEL="loud",
        )

        assert problems == [
            ("storage.filesystem.rootdirectroy: unknown key; did you mean rootdirectory? "
            "(config.yml:2)"),
            "log.level: 'loud' is not one of debug, info, warn, error (REGISTRY_LOG_LEVEL)",
            ("http.draintimeout: '30' has no unit; write 30s for seconds, 30m for minutes "
            "(config.yml:4)"),
            "http.tls: key is set and certificate is not; TLS needs both (config.yml:5)",
            "longshore.http.workers: 'many' is not a whole number (config.yml:7)",
            ("longshore.http.trustedproxies[1]: 'home' is not an address or a network such as "
            "10.0.0.0/8 (config.yml:7)"),
        ]  # fmt: skip

    def test_the_error_as_a_text_is_a_list_of_them(self, config: Loader):
        with pytest.raises(ConfigurationInvalid) as raised:
            config("version: 0.1\nstorge: {}\nhtpp: {}\nstorage: inmemory")

        assert str(raised.value).replace(str(config.path), "config.yml").splitlines() == [
            "the configuration has 2 problems:",
            "  storge: unknown key; did you mean storage? (config.yml:2)",
            "  htpp: unknown key; did you mean http? (config.yml:3)",
        ]

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("http: {adr: x}", "http.adr: unknown key; did you mean addr? (config.yml:3)"),
            ("HTTP: {}", "HTTP: unknown key; did you mean http? (config.yml:3)"),
            ("zzz: 1", "zzz: unknown key (config.yml:3)"),
            (
                "service: x",
                ("service: unknown key; did you mean auth.silly.service or "
                "auth.token.service? (config.yml:3)"),
            ),
            ("longshore: {databse: {}}", "longshore.databse: unknown key; did you mean database? (config.yml:3)"),
            ("redis: {adrs: []}", "redis.adrs: unknown key; did you mean addrs? (config.yml:3)"),
            ("http: x", "http: is not a table; write key: value lines below it (config.yml:3)"),
            ("longshore: [x]", "longshore: is not a table; write key: value lines below it (config.yml:3)"),
            (
                "http: {headers: {A: b}}",
                ("http.headers.A: 'b' is not a list; write [one, two], or one a line after a dash "
                "(config.yml:3)"),
            ),
            ("http: {headers: [a]}", "http.headers: is not a table; write key: value lines below it (config.yml:3)"),
            ("http: {addr: [a]}", "http.addr: is not text (config.yml:3)"),
            ("http: {host: registry.example}", "http.host: 'registry.example' is not the registry's URL; write https://registry.example (config.yml:3)"),
            ("http: {prefix: 'a b'}", "http.prefix: 'a b' is not a path; write something like /registry (config.yml:3)"),
            ("catalog: {maxentries: 0}", "catalog.maxentries: 0 must be at least 1 (config.yml:3)"),
            ("catalog: {maxentries: 1.5}", "catalog.maxentries: 1.5 is not a whole number (config.yml:3)"),
            ("health: {tcp: [{}]}", "health.tcp[0].addr: missing (config.yml:3)"),
            ("health: {tcp: [{addr: 'a:1', interval: 0}]}", "health.tcp[0].interval: '0' must be more than 0 (config.yml:3)"),
            ("health: {http: [{uri: ftp://x}]}", "health.http[0].uri: 'ftp://x' does not match ^https?://. (config.yml:3)"),
            ("longshore: {manifests: {maxsize: 4 Mi}}", "longshore.manifests.maxsize: '4 Mi' is not a size; write bytes, or a unit such as 512KiB, 4MiB, 1GB (config.yml:3)"),
            ("validation: {manifests: {urls: {allow: ['(']}}}", "validation.manifests.urls.allow[0]: '(' is not a regular expression: missing ), unterminated subpattern at position 0 (config.yml:3)"),
            ("longshore: {access: {rules: [{repository: a, users: [], actions: []}]}}", "longshore.access.rules[0].users: needs at least 1 (config.yml:3)"),
            ("auth: htpasswd", "auth.htpasswd.path: missing (config.yml:3)"),
            ("auth: {htpasswd: {path: ''}}", "auth.htpasswd.path: missing (config.yml:3)"),
            ("auth: {none: , htpasswd: {path: /x}}", "auth: only one may be chosen; found none (config.yml:3) and htpasswd (config.yml:3)"),
            ("auth: {token: {service: s, issuer: i, jwks: /x}}", "auth.token: realm is missing; write the URL of the token server (config.yml:3)"),
            ("auth: {token: {realm: r, service: s, issuer: i}}", "auth.token: rootcertbundle and jwks are missing; one of them must be given (config.yml:3)"),
            ("http: {tls: {minimumtls: tls1.0}}", "http.tls.minimumtls: 'tls1.0' is broken and not spoken (RFC 8996); write tls1.2 or tls1.3 (config.yml:3)"),
            ("http: {tls: {clientauth: request-client-cert}}", "http.tls.clientauth: 'request-client-cert' takes any certificate without verifying it, which proves nothing; write verify-client-cert-if-given (config.yml:3)"),
            ("http: {tls: {clientcas: [/ca]}}", "http.tls: clientcas is set without certificate and key, so TLS is off (config.yml:3)"),
            ("http: {tls: {certificate: a, key: b, clientauth: require-and-verify-client-cert}}", "http.tls: clientauth is set and clientcas is not; nobody could be verified (config.yml:3)"),
        ],
    )  # fmt: skip
    def test_each_says_what_is_wrong_and_what_to_write(
        self, config: Loader, text: str, problem: str
    ):
        assert config.problems(f"{HEAD}{text}\n") == [problem]

    @pytest.mark.parametrize(
        ("storage", "problem"),
        [
            ("{}", f"storage: no driver is named; write one of: {THERE_ARE} (config.yml:2)"),
            ("", f"storage: no driver is named; write one of: {THERE_ARE} (config.yml:2)"),
            ("{delete: {enabled: true}}", f"storage: no driver is named; write one of: {THERE_ARE} (config.yml:2)"),
            ("s4", f"storage.s4: unknown key; there are: {THERE_ARE} (config.yml:2)"),
            ("{fielsystem: {}}", "storage.fielsystem: unknown key; did you mean filesystem? (config.yml:2)"),
            ("{filesystem: {}, inmemory: {}}", "storage: only one may be chosen; found filesystem (config.yml:2) and inmemory (config.yml:2)"),
            ("{s3aws: {bucket: b}}", f"storage.s3aws: is the driver s3 under its old name; write storage.s3; there are: {THERE_ARE} (config.yml:2)"),
            ("{filesystem: {maxthreads: 0}}", "storage.filesystem.maxthreads: 0 must be at least 1 (config.yml:2)"),
        ],
    )  # fmt: skip
    def test_a_driver_must_be_named(self, config: Loader, storage: str, problem: str):
        assert config.problems(f"version: 0.1\nstorage: {storage}\n") == [problem]

    def test_a_file_without_storage_is_refused(self, config: Loader):
        assert config.problems("version: 0.1\n") == [
            f"storage: no driver is named; write one of: {THERE_ARE}"
        ]

    def test_a_secret_is_never_shown(self, config: Loader):
        problems = config.problems(
            f"{HEAD}http: {{secret: [geheim]}}\nproxy: {{remoteurl: x, password: geheim}}\n"
            "longshore: {database: {url: mysql://u:geheim@h/d}}\n"
        )

        assert len(problems) == 3
        assert not [problem for problem in problems if "geheim" in problem]


class TestFiles:
    def test_one_that_is_missing_is_named(self, tmp_path: Path):
        with pytest.raises(ConfigurationInvalid, match=r"cannot be read: No such file .*nowhere"):
            load(tmp_path / "nowhere.yml", {}, SECTIONS)

    def test_a_directory_is_refused(self, tmp_path: Path):
        with pytest.raises(ConfigurationInvalid, match=r"cannot be read: Is a directory"):
            load(tmp_path, {}, SECTIONS)

    def test_a_socket_is_refused(self, tmp_path: Path):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "s"))

            with pytest.raises(ConfigurationInvalid, match=r"cannot be read: No such device"):
                load(tmp_path / "s", {}, SECTIONS)

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", r"is empty; the least is: version, storage"),
            (b"# nothing\n", r"is empty"),
            (b"- a\n", r"is not a table"),
            (b"text", r"is not a table"),
            (b"version: 0.1\nstorage: \xff\n", r"is not UTF-8 text \(.*:2\)"),
            (b"version: 0.1\nhttp: [\n", r"not YAML: .* \(.*:3\)"),
            (b"#" * (1 << 20) + b"\n", r"larger than 1 MiB"),
        ],
    )
    def test_what_is_no_configuration_is_refused(self, tmp_path: Path, content: bytes, said: str):
        path = tmp_path / "config.yml"
        path.write_bytes(content)

        with pytest.raises(ConfigurationInvalid, match=said):
            load(path, {}, SECTIONS)

    def test_a_byte_order_mark_is_no_problem(self, tmp_path: Path):
        path = tmp_path / "config.yml"
        path.write_bytes(b"\xef\xbb\xbf" + HEAD.encode())

        assert load(path, {}, SECTIONS)[StorageSettings].driver == "inmemory"

    def test_a_key_without_a_value_is_as_if_it_were_not_there(self, config: Loader):
        loaded = config(
            """\
            version: 0.1
            storage:
              inmemory:
              delete:
            http:
              addr:
              host: ""
              tls: {certificate: "", key: "", minimumtls: "", clientauth: ""}
              net: ""
            health:
            """
        )

        assert loaded[HTTPSettings] == HTTPSettings()
        assert loaded[HealthSettings] == HealthSettings()

    def test_numbers_in_texts_stay_as_they_are_written(self, config: Loader):
        loaded = config(f"{HEAD}http: {{secret: 0123}}\nlog: {{fields: {{a: 1.0, b: yes}}}}\n")

        assert loaded[HTTPSettings].secret.get_secret_value() == "0123"
        assert loaded[LogSettings].fields == {"a": "1.0", "b": "yes"}


class TestValues:
    def test_sections_are_frozen(self, config: Loader):
        with pytest.raises(ValueError, match="frozen"):
            config()[HTTPSettings].addr = ":1"

    def test_names_of_choices_may_be_in_any_case(self, config: Loader):
        log = config(f"{HEAD}log: {{level: INFO, formatter: Json}}\n")[LogSettings]

        assert (log.level, log.formatter) == (LogLevel.INFO, LogFormat.JSON)

    def test_every_setting_of_the_server_arrives(self, config: Loader):
        loaded = config(
            f"""{HEAD}
http:
  addr: /run/longshore.sock
  net: unix
  host: https://registry.example/
  prefix: registry/
  secret: s
  relativeurls: true
  draintimeout: 1m
  headers: {{X-Frame-Options: [DENY]}}
  tls: {{certificate: /c, key: /k, clientcas: [/ca], minimumtls: tls1.3}}
  debug: {{addr: ":5001", prometheus: {{enabled: true, path: /m}}}}
longshore:
  http: {{workers: 4, server: uvicorn, trustedproxies: [10.0.0.1], bodytimeout: 5s, headertimeout: 6s}}
"""
        )
        http, server = loaded[HTTPSettings], loaded[ServerSettings]

        assert (http.host, http.prefix) == ("https://registry.example", "/registry")
        assert http.tls.client_authentication is ClientAuthentication.REQUIRED
        assert http.draintimeout == 60
        assert server.server is Engine.UVICORN
        assert server.trustedproxies == ("10.0.0.1/32",)
        assert (server.bodytimeout, server.headertimeout) == (5, 6)

    def test_clients_are_asked_for_nothing_unless_there_is_somebody_to_trust(self, config: Loader):
        tls = config()[HTTPSettings].tls

        assert tls.client_authentication is ClientAuthentication.NONE

    def test_nobody_is_asked_to_log_in_unless_it_is_said(self, config: Loader):
        assert config()[AuthSettings].method == "none"
        assert config(f"{HEAD}auth: none\n")[AuthSettings].method == "none"

    @pytest.mark.parametrize("url", ["sqlite:////x/l.db", "postgresql://h/d", "postgres://u:p@h/d"])
    def test_both_databases_have_a_url(self, config: Loader, url: str):
        found = config(f"{HEAD}longshore: {{database: {{url: '{url}'}}}}\n")[DatabaseSettings].url

        assert found is not None
        assert found.get_secret_value() == url

    def test_silly_is_for_development_only(self, config: Loader):
        text = f"{HEAD}auth: {{silly: {{realm: r, service: s}}}}\n"
        (problem,) = config.problems(text)
        assert problem.startswith("auth.silly: lets in everybody")

        config.dev = True

        assert config(text)[AuthSettings].method == "silly"

    def test_sizes_have_units(self, config: Loader):
        loaded = config(f"{HEAD}longshore: {{manifests: {{maxsize: 8MiB}}}}\n")

        assert loaded[ManifestSettings].maxsize == 8 << 20

    def test_the_old_name_of_the_log_level_counts(self, config: Loader):
        loaded = config(f"{HEAD}loglevel: debug\n")

        assert loaded[LogSettings].level is LogLevel.DEBUG
        assert [str(w.message) for w in loaded.warnings] == [
            "is the old name of log.level; write that"
        ]

    def test_the_new_name_of_the_log_level_wins(self, config: Loader):
        loaded = config(f"{HEAD}loglevel: debug\nlog: {{level: warn}}\n")

        assert loaded[LogSettings].level is LogLevel.WARN

    def test_the_old_name_as_a_variable_counts_too(self, config: Loader):
        assert config(REGISTRY_LOGLEVEL="error")[LogSettings].level is LogLevel.ERROR

    def test_an_origin_is_known_for_everything_that_was_set(self, config: Loader):
        loaded = config(
            f"{HEAD}http:\n  addr: :1\nhealth: {{tcp: [{{addr: 'a:1'}}]}}\n",
            REGISTRY_LOG_LEVEL="warn",
        )

        assert str(loaded.origin("http.addr")) == f"{config.path}:4"
        assert str(loaded.origin("health.tcp[0].addr")) == f"{config.path}:5"
        assert str(loaded.origin("log.level")) == "REGISTRY_LOG_LEVEL"
        assert loaded.origin("http.net") == DEFAULT

    def test_a_configuration_can_be_made_by_hand(self):
        made = Configuration({CatalogSettings: CatalogSettings(maxentries=5)})

        assert made[CatalogSettings].maxentries == 5
        with pytest.raises(KeyError):
            made[HTTPSettings]


class TestWithoutAFile:
    def test_everything_has_a_sensible_default(self, config: Loader):
        loaded = config.without_file(HOME="/home/alice")

        storage = loaded[StorageSettings]
        assert loaded.source is None
        assert storage.driver == "filesystem"
        assert storage.delete.enabled
        assert loaded[HTTPSettings].addr == ":5000"
        assert loaded[AuthSettings].method == "none"
        assert str(loaded.origin("storage.delete.enabled")) == "no config.yml"

    def test_with_a_file_deleting_must_be_allowed_as_in_distribution(self, config: Loader):
        assert config()[StorageSettings].delete.enabled is None

    @pytest.mark.parametrize(
        ("root", "environ", "directory"),
        [
            (True, {"HOME": "/root"}, "/var/lib/longshore"),
            (False, {"HOME": "/home/alice"}, "/home/alice/.local/share/longshore"),
            (False, {"HOME": "/h", "XDG_DATA_HOME": "/data"}, "/data/longshore"),
            (False, {"HOME": "/h", "XDG_DATA_HOME": "data"}, "/h/.local/share/longshore"),
            (False, {}, "/var/lib/longshore"),
        ],
    )
    def test_data_goes_where_the_user_may_write(
        self,
        monkeypatch: pytest.MonkeyPatch,
        root: bool,
        environ: dict[str, str],
        directory: str,
    ):
        monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
        monkeypatch.setattr(defaults, "SYSTEM_DIRECTORY", Path("/var/lib/longshore"))
        monkeypatch.setattr(os, "access", lambda *_: False)

        assert defaults.data_directory(environ) == Path(directory)

    def test_a_variable_moves_the_data(self, config: Loader):
        loaded = config.without_file(REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY="/data")

        assert loaded[StorageSettings].parameters.rootdirectory == Path("/data")

    def test_naming_the_driver_alone_leaves_the_data_where_they_are(self, config: Loader):
        named = config.without_file(REGISTRY_STORAGE="filesystem", HOME="/h")
        plain = config.without_file(HOME="/h")

        assert named[StorageSettings] == plain[StorageSettings]

    def test_a_variable_chooses_another_driver(self, config: Loader):
        assert (
            config.without_file(REGISTRY_STORAGE="inmemory")[StorageSettings].driver == "inmemory"
        )

    def test_a_variable_that_is_wrong_is_a_problem_here_too(self):
        with pytest.raises(ConfigurationInvalid) as raised:
            load(
                None, {"REGISTRY_STORAGE_DELETE": "5", "REGISTRY_STORAGE_S3_BUCKET": "b"}, SECTIONS
            )

        assert [problem.key for problem in raised.value.problems] == [
            "storage.delete",
            "storage.s3",
        ]


def test_a_problem_about_the_whole_has_no_key():
    assert str(Problem("", "is empty")) == "is empty"


def test_every_section_has_a_key_of_its_own():
    keys = [section.key for section in SECTIONS]

    assert len(set(keys)) == len(keys)


def test_every_section_of_the_package_is_listed():
    def below(section: type[Section]) -> set[type[Section]]:
        return {section, *(inner for each in section.__subclasses__() for inner in below(each))}

    found = {each for each in below(Section) if each.__module__.startswith("longshore.")}

    assert found - {Section} == set(SECTIONS)


def test_rules_and_anonymous_pull_together_are_told_apart_before_the_start(config: Loader) -> None:
    rule = {"repository": "**", "users": ["a"], "actions": ["pull"]}

    problems = config.problems(
        {**LEAST, "longshore": {"access": {"anonymouspull": True, "rules": [rule]}}}
    )

    assert len(problems) == 1
    assert "anonymouspull and rules are both given" in problems[0]
