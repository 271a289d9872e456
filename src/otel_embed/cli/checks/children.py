"""Questions that are answered in a process of their own, because the answer imports code of others.

``ask`` runs MODULE with the interpreter that runs us; that module answers with ``answer``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from tempfile import TemporaryFile
from typing import Any, NoReturn

_AUTOMATIC = os.path.join("opentelemetry", "instrumentation", "auto_instrumentation")
_ALONE = {"HF_HUB_OFFLINE": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
"""Of libraries that ask a network for something when they are imported."""
_START = """
import runpy, sys
if sys.path[0] == "":
    del sys.path[0]  # modules of the application may lie in the current directory
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def ask(module: str, *arguments: str, seconds: float, **variables: str) -> dict[str, Any] | str:
    """What the module answers, or one sentence on why it did not. ``variables`` are added to the environment."""
    with TemporaryFile() as said, TemporaryFile() as complained:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=complained,
            env={**_environment(), **_ALONE, **variables},
            start_new_session=True,
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return f"it took more than {seconds:g} s"
        finally:
            _end(process)
        said.seek(0)
        complained.seek(0)
        return _read(said.read(), complained.read(), code)


def claim_output() -> int:
    """For the child: keep its standard output for the answer; whatever else is printed goes to standard error."""
    ours = os.dup(1)
    os.dup2(2, 1)
    return ours


def answer(output: int, found: dict[str, Any]) -> NoReturn:
    """For the child: give the answer and end at once, whatever threads and exit handlers there are by now."""
    data = json.dumps(found).encode()
    while data:
        data = data[os.write(output, data) :]
    os._exit(0)


def _environment() -> dict[str, str]:
    """Ours, but a child of ``opentelemetry-instrument`` does not instrument itself again."""
    env = dict(os.environ)
    paths = [path for path in env.pop("PYTHONPATH", "").split(os.pathsep) if path]
    kept = [path for path in paths if not path.rstrip(os.sep).endswith(_AUTOMATIC)]
    if kept:
        env["PYTHONPATH"] = os.pathsep.join(kept)
    return env


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(OSError):
            if sys.platform == "win32":
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _read(said: bytes, complained: bytes, code: int) -> dict[str, Any] | str:
    if code < 0:
        return f"it ended its process with {_signal_name(-code)}"
    try:
        found = json.loads(said)
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    last = complained.decode(errors="replace").strip().rpartition("\n")[2].strip()
    return f"it ended its process with exit code {code}" + (f": {last}" if last else "")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
