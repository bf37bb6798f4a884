"""Worker processes: their births, deaths and replacements, seen from outside."""

import concurrent.futures
import http.client
import os
import signal
import time
from functools import partial

import pytest

from tests.http.server.conftest import Running, Start, ask, eventually
from tests.services.processes import free_port, listening


def test_requests_are_answered_by_as_many_processes_as_were_asked_for(start: Start, engine: str):
    server = start(engine=engine, workers=3).wait()
    eventually(lambda: len(server.workers()) == 3)

    seen = {server.get()["slot"] for _ in range(60)}

    assert seen <= {0, 1, 2}
    assert server.get()["pid"] in server.workers()


def replaced(server: Running, before: set[int]) -> bool:
    now = server.workers()
    return len(now) == len(before) and now != before


def died(server: Running, times: int) -> bool:
    return server.log.count("was killed by") == times


def test_a_killed_worker_is_replaced_however_often_it_is_killed(start: Start):
    server = start(workers=2).wait()
    eventually(lambda: len(server.workers()) == 2)
    for _ in range(4):
        victims = server.workers()
        os.kill(min(victims), signal.SIGKILL)
        eventually(partial(replaced, server, victims))
        assert server.get()["name"] == "main"

    assert server.service.process.poll() is None
    assert "was killed by SIGKILL" in server.log


def test_the_only_worker_is_replaced_and_waiting_connections_are_answered(start: Start):
    server = start(workers=1).wait()
    os.kill(server.get()["pid"], signal.SIGKILL)

    # Sent while nobody accepts: the socket is the supervisor's, so nothing is refused.
    assert server.get()["slot"] == 0


def test_workers_that_die_at_once_are_replaced_ever_more_slowly(start: Start):
    server = start(workers=1).wait()
    for deaths in range(1, 6):
        eventually(lambda: len(server.workers()) == 1)
        os.kill(min(server.workers()), signal.SIGKILL)
        eventually(partial(died, server, deaths))

    assert "its replacement starts in" in server.log
    assert server.get()["slot"] == 0


@pytest.mark.parametrize("signaled", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_the_request_in_flight_finish_and_refuses_new_connections(
    start: Start, engine: str, signaled: signal.Signals
):
    server = start(engine=engine, drain=10).wait()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answer = pool.submit(server.get, "/slow/2")
        time.sleep(0.3)
        server.service.process.send_signal(signaled)
        eventually(lambda: not listening(server.port))
        assert not answer.done()

        assert answer.result()["draining"]
    assert server.exit_code == 0
    assert "worker 0 leaves" in server.log


def test_an_idle_connection_does_not_hold_up_the_end(start: Start, engine: str):
    server = start(engine=engine, drain=20).wait()
    idle = server.connect()
    ask(idle)
    before = time.monotonic()

    server.service.process.terminate()

    assert server.exit_code == 0
    assert time.monotonic() - before < 10


def test_requests_that_outlast_the_drain_are_cut_off(start: Start, engine: str):
    server = start(engine=engine, drain=0.5).wait()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answer = pool.submit(server.get, "/slow/30")
        time.sleep(0.3)
        server.service.process.terminate()

        with pytest.raises((http.client.HTTPException, OSError)):
            answer.result()
    assert server.exit_code == 0
    assert "http.draintimeout" in server.log


def test_a_second_stop_ends_at_once(start: Start):
    server = start(drain=60).wait()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answer = pool.submit(server.get, "/slow/30")
        time.sleep(0.3)
        server.service.process.terminate()
        eventually(lambda: "no new connections" in server.log)
        server.service.process.terminate()

        with pytest.raises((http.client.HTTPException, OSError)):
            answer.result()
    assert server.exit_code == 0


def test_no_worker_outlives_a_killed_supervisor_and_the_port_is_free(start: Start, engine: str):
    server = start(engine=engine).wait()
    eventually(lambda: len(server.workers()) == 2)
    workers = server.workers()

    server.service.process.kill()

    eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in workers))
    again = start(address=f"127.0.0.1:{server.port}").wait()
    again.port = server.port
    assert again.get()["name"] == "main"


def test_a_taken_port_is_one_clear_line(start: Start):
    first = start().wait()

    second = start(address=f"127.0.0.1:{first.port}")

    assert second.exit_code == 1
    assert "another program listens there" in second.log
    assert len(second.log.splitlines()) == 1


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("refuse", "the database is locked"),
        ("crash", "a wheel came off"),
        ("raise", "/etc/htpasswd: No such file or directory"),
    ],
)
def test_a_worker_that_cannot_start_ends_the_server_with_its_reason(
    start: Start, how: str, message: str
):
    server = start(start=how)

    assert server.exit_code == 1
    assert f"failed: {message}" in server.log
    assert "Traceback" not in server.log


def test_the_debug_address_is_served_by_the_first_worker_only(start: Start, engine: str):
    debug = free_port()
    server = start(engine=engine, debug_address=f"127.0.0.1:{debug}").wait()

    answers = [server.get(port=debug) for _ in range(10)]

    assert {(answer["name"], answer["slot"]) for answer in answers} == {("debug", 0)}


def test_a_stop_during_the_start_is_obeyed_at_once(start: Start):
    server = start(start="hang", drain=60)
    eventually(lambda: "hanging" in server.log)

    server.service.process.terminate()

    assert server.exit_code == 0
