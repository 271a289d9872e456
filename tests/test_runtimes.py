"""Whatever runs an application's calls, each is seen and billed once, and the process ends as it would without us."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from fakes.openai_server import OpenAIServer
from fakes.otlp import HttpReceiver, closed_port
from programs import BIN, COMMON, Exported, check, environment, launch, zero_code


class World(NamedTuple):
    environ: dict[str, str]
    folder: Path
    server: OpenAIServer
    collector: HttpReceiver

    def run(self, source: str) -> tuple[str, str]:
        return zero_code(self.environ, self.folder, source)

    def check(self, requests: int, pending: int = 0) -> Exported:
        return check(self.collector, self.server, requests, pending)


@pytest.fixture
def world(server: OpenAIServer, tmp_path: Path) -> Iterator[World]:
    with HttpReceiver() as collector:
        yield World(environment(server, collector, tmp_path), tmp_path, server, collector)


def test_threads_and_a_flush_that_is_complete(world: World) -> None:
    world.run("""
from threading import Barrier, Thread
together = Barrier(8)
def work(it):
    together.wait()
    for words in range(1, 6):
        embed(it, words)
with client() as it:
    threads = [Thread(target=work, args=(it,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
flush()
os._exit(0)  # so that whatever the flush has left behind is lost
""")
    world.check(40)


ASYNC = """
async def slow(it):
    await embed(it, 1, **LATE)
async def fails():
    await anyio.sleep(0.2)
    raise KeyError("the application's own")
async def work():
    async with asynchronous() as it:
        async with anyio.create_task_group() as group:
            for words in range(1, 11):
                group.start_soon(embed, it, words)
        with anyio.move_on_after(0.2):
            await slow(it)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(slow, it)
                group.start_soon(fails)
        except BaseException as error:
            say(type(getattr(error, "exceptions", [error])[0]).__name__)
        try:
            await embed(it, 1, timeout=0.2, **LATE)
        except Exception as error:
            say(type(error).__name__)
        await embed(it, 11)
"""
ASYNCIO = """
async def more():
    async with asynchronous() as it:
        task = asyncio.create_task(slow(it))
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.gather(task, embed(it, 12), return_exceptions=True)
        try:
            await asyncio.wait_for(slow(it), 0.2)
        except asyncio.TimeoutError:
            say("wait_for")
        left = asyncio.create_task(slow(it))
        await asyncio.sleep(0.2)  # and asyncio.run cancels it
asyncio.run(work())
asyncio.run(more())
"""


@pytest.mark.parametrize(
    ("loop", "requests", "cancelled"), [("asyncio", 12, 5), ("trio", 11, 2)], ids=["asyncio", "trio"]
)
def test_tasks_that_are_cancelled_and_out_of_time(world: World, loop: str, requests: int, cancelled: int) -> None:
    end = ASYNCIO if loop == "asyncio" else "anyio.run(work, backend='trio')\n"
    out, _ = world.run(f"import anyio, asyncio\n{ASYNC}{end}flush()\nos._exit(0)\n")
    assert out.split() == ["KeyError", "APITimeoutError", *["wait_for"] * (loop == "asyncio")]
    exported = world.check(requests)
    assert Counter(exported.of("otel_embed.error.cause")) == {"cancelled": cancelled, "timeout": 1}
    assert exported.sums["otel_embed.errors"] == cancelled + 1


GEVENT = """
from gevent import monkey
monkey.patch_all()
from opentelemetry.instrumentation.auto_instrumentation import initialize
initialize()
"""


def test_gevent(world: World) -> None:
    (world.folder / "app.py").write_text(f"""{GEVENT}{COMMON}
import gevent
with client() as it:
    embed(it, 1)  # asks for the platform by a fork, in which OpenTelemetry's SDK lets other greenlets go on, and fork
    jobs = [gevent.spawn(embed, it, words) for words in range(2, 21)]
    gevent.joinall(jobs, raise_error=True)
    late = gevent.spawn(embed, it, 1, **LATE)
    gevent.sleep(0.2)
    late.kill()
say(otel_embed.summary().calls, otel_embed.summary().failed_calls)
""")
    out, _ = launch(world.environ, world.folder, sys.executable, "app.py")
    assert out == "21 1\n"
    assert world.check(20).of("error.type") == ["greenlet.GreenletExit"]


def test_gevent_that_patches_after_us(world: World) -> None:
    """Without an SDK: the threads of OpenTelemetry's own let a program hang that is patched after they began."""
    (world.folder / "app.py").write_text(f"""
import otel_embed
otel_embed.instrument()
from gevent import monkey
monkey.patch_all()
{COMMON}
import gevent
with client() as it:
    embed(it, 1)  # as above
    gevent.joinall([gevent.spawn(embed, it, words) for words in range(2, 21)], raise_error=True)
say(otel_embed.summary().calls, otel_embed.summary().tokens)
""")
    out, _ = launch(world.environ, world.folder, sys.executable, "-W", "ignore", "app.py")
    assert out == f"20 {world.server.billed.tokens}\n"


FORKED = """
import multiprocessing, threading
def work(number):
    say(otel_embed.summary().calls, otel_embed.summary().tokens)
    with client() as it:
        embed(it, number)
    say(otel_embed.summary().calls, otel_embed.summary().tokens)
    flush()
def busy(it, stop):
    while not stop.is_set():
        embed(it, 1)
"""


def test_forked_processes_begin_at_nothing(world: World) -> None:
    out, _ = world.run(f"""{FORKED}
with client() as it:
    embed(it, 7)
    workers = [multiprocessing.get_context("fork").Process(target=work, args=(number,)) for number in (1, 2, 3)]
    for worker in workers:
        worker.start()
    embed(it, 8)
    for worker in workers:
        worker.join()
say(otel_embed.summary().calls, otel_embed.summary().tokens, [worker.exitcode for worker in workers])
""")
    assert sorted(out.splitlines()) == sorted(["0 0"] * 3 + ["1 1", "1 2", "1 3", "2 15 [0, 0, 0]"])
    world.check(5)


def test_forks_in_the_middle_of_other_threads_calls(world: World) -> None:
    out, _ = world.run(f"""{FORKED}
stop = threading.Event()
with client() as it:
    embed(it, 1)  # the client asks for the platform at its first call, under a lock that a child would find taken
    threads = [threading.Thread(target=busy, args=(it, stop)) for _ in range(4)]
    for thread in threads:
        thread.start()
    workers = [multiprocessing.get_context("fork").Process(target=work, args=(number,)) for number in range(1, 11)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    stop.set()
    for thread in threads:
        thread.join()
say([worker.exitcode for worker in workers], otel_embed.summary().calls)
""")
    *children, last = out.splitlines()
    assert sorted(children) == sorted(["0 0"] * 10 + [f"1 {number}" for number in range(1, 11)])
    assert last.startswith(str([0] * 10))
    world.check(int(last.split()[-1]) + 10)


def test_spawned_processes(world: World) -> None:
    world.run("""
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
def work(number):
    with client() as it:
        embed(it, number)
    flush()
if __name__ == "__main__":
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(work, range(1, 7)))
    work(7)
""")
    world.check(7)


GUNICORN = """
with client() as it:
    embed(it, 5)  # before there is any worker
def app(environ, start_response):
    with client() as it:
        embed(it, int(environ["QUERY_STRING"]))
    body = f"{os.getpid()} {otel_embed.summary().calls}".encode()
    start_response("200 OK", [("content-length", str(len(body)))])
    return [body]
"""


def test_gunicorn_with_preload(world: World) -> None:
    port = closed_port()
    (world.folder / "served.py").write_text(COMMON + GUNICORN)
    command = [BIN / "opentelemetry-instrument", BIN / "gunicorn", "--preload", "--workers", "2", "--threads", "2",
               "--bind", f"127.0.0.1:{port}", "served:app"]  # fmt: skip
    with subprocess.Popen(command, env=world.environ, cwd=world.folder, stderr=subprocess.PIPE, text=True) as process:
        try:
            _wait(port)
            with ThreadPoolExecutor(8) as pool:
                told = list(pool.map(lambda words: _get(port, words), range(1, 25)))
        finally:
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    by_worker: Counter[str] = Counter()
    for answer in told:
        worker, calls = answer.split()
        by_worker[worker] = max(by_worker[worker], int(calls))
    assert sum(by_worker.values()) == 24, "no worker counts the call of the process that it was forked from"
    world.check(25)


UVICORN = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        otel_embed.flush()
        await send({"type": "lifespan.shutdown.complete"})
        return
    async with asynchronous() as it:
        await embed(it, int(scope["query_string"]))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})
"""


def test_uvicorn_that_is_told_to_end(world: World) -> None:
    """It ends by the signal, past what Python does at its end: only what its lifespan flushes is not lost."""
    port = closed_port()
    (world.folder / "served.py").write_text(COMMON + UVICORN)
    command = [BIN / "opentelemetry-instrument", BIN / "uvicorn", "--port", str(port), "--log-level", "warning", "served:app"]
    with subprocess.Popen(command, env=world.environ, cwd=world.folder, stderr=subprocess.PIPE, text=True) as process:
        try:
            _wait(port)
            assert [_get(port, words) for words in range(1, 4)] == ["done"] * 3
        finally:
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=30)
    assert process.returncode in (0, -signal.SIGTERM), said  # before 0.29 as if nothing had been
    world.check(3)


def _get(port: int, words: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/?{words}", timeout=20) as answer:
        return str(answer.read().decode())


def _wait(port: int) -> None:
    for _ in range(400):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("gunicorn does not listen after twenty seconds")


def test_a_subinterpreter_leaves_the_main_one_alone(world: World) -> None:
    """Whether otel_embed works in one is for the C code of others to say; what counts outside stays right."""
    out, _ = world.run('''
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
with client() as it:
    embed(it, 1)
    for inside in ("import otel_embed", "import otel_embed; otel_embed.instrument()"):
        within = interpreters.create()
        try:
            problem = interpreters.run_string(within, f"""
try:
    {inside}
except ImportError:
    pass
""")
        except Exception as error:
            problem = error
        say(problem)
        embed(it, 2)
        interpreters.destroy(within)
    embed(it, 3)
    child = os.fork()
    if child == 0:
        say(otel_embed.summary().calls)
        os._exit(0)
    os.waitpid(child, 0)
say(otel_embed.summary().calls)
''')
    assert out.split() == ["None", "None", "0", "4"]
    world.check(4)


EXITS = {
    "an exit handler of the application calls": """
import atexit
it = client()
atexit.register(embed, it, 1)
""",
    "a thread goes on after the main one": """
import threading
it = client()
threading.Thread(target=lambda: (time.sleep(0.5), embed(it, 1))).start()
""",
    "an exception ends the program": """
import contextlib
with client() as it:
    embed(it, 1)
    raise SystemExit(0)
""",
}


@pytest.mark.parametrize("program", EXITS.values(), ids=EXITS)
def test_the_end_is_quick_and_nothing_is_lost(world: World, program: str) -> None:
    began = time.monotonic()
    world.run(program)
    assert time.monotonic() - began < 15
    world.check(1)


def test_an_end_with_an_answer_that_is_still_open(world: World) -> None:
    """Its stream goes with the interpreter, when no thread can be started and nothing be imported any more."""
    world.run("""
it = client()
embed(it, 2)
answers = [it.embeddings.with_streaming_response.create(model=MODEL, input="four") for _ in range(2)]
left = [answer.__enter__() for answer in answers]
""")
    billed, exported = world.server.billed, Exported(world.collector)
    assert len(exported.spans) == billed.requests == 3
    assert exported.of("otel_embed.usage.source") == ["reported", "estimated", "estimated"]
    assert exported.sums["otel_embed.inputs"] == billed.inputs and not exported.sums["otel_embed.dropped"]


def test_an_end_while_a_daemon_thread_waits_for_its_answer(world: World) -> None:
    world.run("""
import threading
it = client()
embed(it, 1)
threading.Thread(target=embed, args=(it, 3), kwargs=LATE, daemon=True).start()
time.sleep(0.3)
""")
    world.check(1, pending=3)


def test_a_program_that_is_terminated(world: World) -> None:
    """What it reports at its end, it reports there too, where it ends as Python lets it."""
    world.run("""
import signal, threading
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with client() as it:
    embed(it, 1)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
    embed(it, 1, **LATE)
""")
    assert world.check(1).of("error.type") == ["SystemExit"]


def test_where_text_and_bytes_may_not_be_compared(world: World) -> None:
    (world.folder / "app.py").write_text(COMMON + "with client() as it:\n    embed(it, 1)\n    embed(it, 2)\n")
    _, said = launch(world.environ, world.folder, str(BIN / "opentelemetry-instrument"), sys.executable, "-bb", "app.py")
    assert said == ""
    world.check(2)
