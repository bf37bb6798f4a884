"""rsyslog: a receiver of syslog over UDP, TCP and TLS that writes what it understood as JSON."""

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.certificates import Authority
from tests.services.processes import Service, free_port, listening
from tests.services.programs import program

_CONFIGURATION = """\
global(
  workDirectory="{directory}"
  maxMessageSize="64k"
  defaultNetstreamDriverCAFile="{authority}"
  defaultNetstreamDriverCertFile="{certificate}"
  defaultNetstreamDriverKeyFile="{key}"
)
module(load="imudp")
module(load="imtcp")
template(name="understood" type="list" option.jsonf="on") {{
  property(outname="facility" name="syslogfacility" format="jsonf")
  property(outname="severity" name="syslogseverity" format="jsonf")
  property(outname="timestamp" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
  property(outname="application" name="app-name" format="jsonf")
  property(outname="procid" name="procid" format="jsonf")
  property(outname="msgid" name="msgid" format="jsonf")
  property(outname="data" name="structured-data" format="jsonf")
  property(outname="text" name="msg" format="jsonf")
  property(outname="by" name="inputname" format="jsonf")
}}
ruleset(name="remote") {{
  action(type="omfile" file="{directory}/received" template="understood" flushOnTXEnd="on" asyncWriting="off")
}}
input(type="imudp" address="127.0.0.1" port="{udp}" ruleset="remote")
input(type="imtcp" address="127.0.0.1" port="{tcp}" ruleset="remote" name="tcp")
input(
  type="imtcp" address="127.0.0.1" port="{tls}" ruleset="remote" name="tls"
  streamDriver.name="{driver}" streamDriver.mode="1" streamDriver.authMode="x509/certvalid"
)
"""


class Rsyslog:
    """A receiver on fixed ports that can be stopped and started."""

    def __init__(self, directory: Path, authority: Authority, driver: str = "gtls") -> None:
        self.directory = directory
        self.udp, self.tcp, self.tls = free_port(), free_port(), free_port()
        pair = authority.issue("127.0.0.1")
        self._configuration = directory / "rsyslog.conf"
        self._configuration.write_text(
            _CONFIGURATION.format(
                directory=directory,
                authority=authority.certificate,
                certificate=pair.certificate,
                key=pair.key,
                udp=self.udp,
                tcp=self.tcp,
                tls=self.tls,
                driver=driver,
            )
        )
        self.service: Service | None = None

    def start(self) -> None:
        """Returns when it takes messages."""
        pid = self.directory / "pid"
        pid.unlink(missing_ok=True)
        self.service = Service(
            "rsyslogd",
            [program("rsyslogd"), "-n", "-f", self._configuration, "-i", pid],
            self.directory / "log",
        )
        self.service.wait_until(lambda: listening(self.tcp) and listening(self.tls))

    def stop(self) -> None:
        """What it took is written."""
        if self.service is not None:
            self.service.stop()
            self.service = None

    def messages(self) -> list[dict[str, Any]]:
        """What it understood, in the order of arrival."""
        file = self.directory / "received"
        if not file.exists():
            return []
        lines = file.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def until(self, count: int, seconds: float = 30) -> list[dict[str, Any]]:
        """The messages, once there are so many."""
        deadline = time.monotonic() + seconds
        while len(found := self.messages()) < count:
            assert time.monotonic() < deadline, f"{len(found)} messages in {seconds} s"
            time.sleep(0.02)
        return found


@pytest.fixture
def rsyslog(authority: Authority) -> Iterator[Rsyslog]:
    """A receiver that has nothing yet."""
    program("rsyslogd")
    with tempfile.TemporaryDirectory(prefix="longshore-rsyslog-") as directory:
        running = Rsyslog(Path(directory), authority)
        try:
            running.start()
            yield running
        finally:
            running.stop()
