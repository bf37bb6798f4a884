"""The parent process: forks workers, replaces the dead, passes on certificates, waits at the end."""

import gc
import json
import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NoReturn

from longshore.http.server import engines, sockets, worker
from longshore.http.server.options import Factory, ServerFailed, ServerOptions
from longshore.http.tls import HeldFiles, TLSFailed, TLSOptions

logger = logging.getLogger(__name__)

#: A worker that lived this long died of something new: it is replaced at once.
_SETTLED: Final = 10.0
#: So many quick deaths in a row are forgiven before replacements are slowed down.
_FORGIVEN: Final = 3
_SLOWEST: Final = 5.0
#: After the drain a worker still has to close its database and flush its logs.
_TEARDOWN: Final = 5.0
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(slots=True)
class _Child:
    """One worker. ``link`` is our end of the socket pair that tells each side when the other dies."""

    slot: int
    pid: int
    link: socket.socket
    born: float
    ready: bool = False
    said: bytes = field(default=b"")
    failure: str = ""


class Supervisor:
    """See :func:`longshore.http.server.serve`; one instance serves once."""

    def __init__(
        self,
        factory: Factory,
        options: ServerOptions,
        main: socket.socket,
        debug: socket.socket | None,
        on_worker_exit: Callable[[int], None],
        on_ready: Callable[[str], None],
    ) -> None:
        self._factory, self._options = factory, options
        self._main, self._debug = main, debug
        self._on_worker_exit, self._on_ready = on_worker_exit, on_ready
        self._url = sockets.describe(main, options.scheme)
        self._children: dict[int, _Child] = {}
        self._quick_deaths = [0] * options.processes
        self._due: dict[int, float] = {}
        self._selector = selectors.DefaultSelector()
        self._signals, self._wakeup = socket.socketpair()
        self._serving = False
        self._deadline: float | None = None
        self._fingerprint = options.tls.fingerprint() if options.tls else ""
        # What workers start with: also one that replaces another while the files are broken.
        self._good = _hold(options.tls)
        self._next_poll = time.monotonic() + options.tls_poll

    def run(self) -> None:
        """Serve until told to stop. Raises ServerFailed when no worker ever came up."""
        engines.load(self._options)
        self._signals.setblocking(False)
        self._wakeup.setblocking(False)
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, lambda _number, _frame: None)
        self._selector.register(self._signals, selectors.EVENT_READ, None)
        # What exists now is shared by all workers: the collector must not touch (and copy) it.
        gc.collect()
        gc.freeze()
        try:
            self._spawn(0)
            while self._children or self._due:
                self._step()
        finally:
            self._kill()
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._signals.close()
            self._wakeup.close()
            self._selector.close()
            if self._good:
                self._good.close()
            gc.unfreeze()

    def _step(self) -> None:
        for key, _ in self._selector.select(self._patience()):
            if key.data is None:
                for number in self._signals.recv(64):
                    self._handle(number)
            elif key.data.slot in self._children:
                self._listen(key.data)
        now = time.monotonic()
        for slot in [slot for slot, when in self._due.items() if when <= now]:
            del self._due[slot]
            self._spawn(slot)
        if self._options.tls and self._deadline is None and now >= self._next_poll:
            self._poll_certificates()
        if self._deadline is not None and now >= self._deadline:
            logger.warning("workers did not end in time and are killed: %s", self._pids())
            self._kill()

    def _patience(self) -> float | None:
        """Seconds until something is due; None when only an event can bring work."""
        moments = list(self._due.values())
        if self._options.tls and self._deadline is None:
            moments.append(self._next_poll)
        if self._deadline is not None:
            moments.append(self._deadline)
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    # Workers

    def _spawn(self, slot: int) -> None:
        ours, theirs = socket.socketpair()
        # A worker that is told to stop before it knows what that means has to hear of it later: until then
        # it has the handlers of this process, which only wake it.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                self._become_worker(slot, ours, theirs)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        theirs.close()
        ours.setblocking(False)
        child = _Child(slot, pid, ours, time.monotonic())
        self._children[slot] = child
        self._selector.register(ours, selectors.EVENT_READ, child)

    def _become_worker(self, slot: int, ours: socket.socket, theirs: socket.socket) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)
            # A copy of another worker's link, left open here, would hide the parent's death.
            for inherited in (
                ours,
                self._signals,
                self._wakeup,
                *(child.link for child in self._children.values()),
            ):
                inherited.close()
            self._selector.close()
            debug = self._debug if slot == 0 else None
            tls = self._good.options if self._good else self._options.tls
            worker.run(slot, self._factory, self._options, tls, self._main, debug, theirs)
        finally:
            # Never back into the parent's stack, nor through its exit handlers.
            os._exit(1)

    def _listen(self, child: _Child) -> None:
        """Read what a worker says: one JSON object a line; the end of it is the worker's end."""
        try:
            said = child.link.recv(65536)
        except BlockingIOError:
            return
        except ConnectionError:
            said = b""
        if not said:
            self._bury(child)
            return
        *lines, child.said = (child.said + said).split(b"\n")
        for line in lines:
            message = json.loads(line)
            child.failure = message.get("failed", child.failure)
            if message.get("ready"):
                child.ready = True
                self._welcome()

    def _welcome(self) -> None:
        if self._serving:
            return
        self._serving = True
        self._on_ready(self._url)
        if self._deadline is None:
            # The first worker alone creates and migrates what is shared; the others find it done.
            for slot in range(1, self._options.processes):
                self._spawn(slot)

    def _bury(self, child: _Child) -> None:
        self._selector.unregister(child.link)
        child.link.close()
        del self._children[child.slot]
        _, status = os.waitpid(child.pid, 0)
        if self._deadline is not None:
            return
        self._on_worker_exit(child.slot)
        how = child.failure or _how_it_ended(status)
        if not self._serving:
            raise ServerFailed(child.failure or f"the first worker {how} before it could answer")
        self._replace(child, how)

    def _replace(self, child: _Child, how: str) -> None:
        now = time.monotonic()
        lived = now - child.born
        count = 0 if child.ready and lived >= _SETTLED else self._quick_deaths[child.slot] + 1
        self._quick_deaths[child.slot] = count
        delay = 0.0 if count <= _FORGIVEN else min(_SLOWEST, 0.05 * 2.0 ** min(count, 16))
        logger.error(
            "worker %d (pid %d) %s after %.1f s; %s",
            child.slot,
            child.pid,
            how,
            lived,
            f"its replacement starts in {delay:.1f} s" if delay else "it is replaced at once",
        )
        if delay:
            self._due[child.slot] = now + delay
        else:
            self._spawn(child.slot)

    # The end

    def _handle(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._poll_certificates()
        elif self._deadline is None:
            self._drain(signal.Signals(number).name)
        else:
            logger.warning("told to stop a second time: requests in flight are abandoned")
            self._kill()

    def _drain(self, cause: str) -> None:
        logger.info(
            "%s: no new connections; requests in flight may take %g s", cause, self._options.drain
        )
        self._deadline = time.monotonic() + self._options.drain + _TEARDOWN
        self._due.clear()
        # Workers close theirs too; from then on the kernel refuses connections.
        sockets.release(self._main)
        if self._debug:
            sockets.release(self._debug)
        self._signal_all(signal.SIGTERM)

    def _kill(self) -> None:
        self._due.clear()
        self._signal_all(signal.SIGKILL)
        for child in self._children.values():
            child.link.close()
            os.waitpid(child.pid, 0)
        self._children.clear()

    def _signal_all(self, number: signal.Signals) -> None:
        for child in self._children.values():
            with suppress(ProcessLookupError):
                os.kill(child.pid, number)

    def _pids(self) -> str:
        return ", ".join(str(child.pid) for child in self._children.values())

    # Certificates

    def _poll_certificates(self) -> None:
        """Tell the workers when the files' content changed and is usable; never raises."""
        self._next_poll = time.monotonic() + self._options.tls_poll
        tls = self._options.tls
        if tls is None:
            return
        fingerprint = tls.fingerprint()
        if fingerprint == self._fingerprint:
            return
        self._fingerprint = fingerprint
        try:
            engines.check_certificates(self._options)
            fresh = _hold(tls)
        except TLSFailed as error:
            logger.error("%s; the old certificate stays in use", error)  # noqa: TRY400
            return
        if self._good:
            self._good.close()
        self._good = fresh
        logger.info("certificate %s changed; new connections get the new one", tls.certificate)
        for child in self._children.values():
            with suppress(OSError):
                child.link.send(worker.RELOAD)


def _hold(tls: TLSOptions | None) -> HeldFiles | None:
    """None also where the system cannot keep files in memory: workers then read those on disk."""
    return HeldFiles(tls) if tls and hasattr(os, "memfd_create") else None


def _how_it_ended(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"was killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"ended with exit code {os.waitstatus_to_exitcode(status)}"
