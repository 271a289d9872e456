"""The summary of this process as a file in a directory, for whoever started it: ``otel-embed run``.

Written every two seconds while calls go on, so that a process that is killed has reported too, and
once more at the end. Where somebody looks on, a smaller one is written about every second.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time

from otel_embed.guard import Guard
from otel_embed.report import live, summary
from otel_embed.report.pace import LEAST, Pace
from otel_embed.report.recorder import CallRecorder

_EVERY_SECONDS = 2.0
_WRITING, _SHOWING = Guard("write the summary"), Guard("write what is shown live")


class ReportFiles:
    def __init__(self, recorder: CallRecorder, directory: str) -> None:
        self._recorder = recorder
        self._directory = directory
        atexit.register(self.end)
        self._begin()

    def _begin(self) -> None:
        self._name = summary.file_name()
        self._lock = threading.Lock()
        self._written = -1
        self._live = live.LiveFile(self._recorder, self._directory, self._name) if live.asked(self._directory) else None
        threading.Thread(target=self._keep_writing, name="otel-embed-report", daemon=True).start()

    def start_anew(self) -> None:
        """In a forked child: a file of its own, also where the child ends without running exit handlers."""
        self._begin()
        if "multiprocessing.util" in sys.modules:
            from multiprocessing.util import register_after_fork

            # It forgets what is to be done at the end, and only then asks what there is to do after a fork.
            register_after_fork(self, ReportFiles._write_as_a_worker)

    def _write_as_a_worker(self) -> None:
        from multiprocessing.util import Finalize

        Finalize(None, self.end, exitpriority=10)

    def _keep_writing(self) -> None:
        stop = threading.Event()
        if self._live is not None:
            self._keep_showing(stop)
        while not stop.wait(_EVERY_SECONDS):
            self.write()

    def _keep_showing(self, stop: threading.Event) -> None:
        wait, own, written = LEAST, 0.0, time.monotonic()
        pace = Pace(written)
        while not stop.wait(wait):
            began, now = time.thread_time(), time.monotonic()
            self._show()
            own += time.thread_time() - began
            wait = pace.wait(own, time.process_time(), now)
            if now - written >= _EVERY_SECONDS:
                written = now
                self.write()

    def write(self) -> None:
        """Write the file if calls were made since it was last written, or if there is none yet."""
        if not os.path.isdir(self._directory):
            return  # whoever asked for the file is gone: this process outlived it
        with _WRITING, self._lock:
            recorded = self._recorder.recorded()
            if recorded != self._written:
                summary.write(self._recorder, self._directory, self._name)
                self._written = recorded

    def end(self) -> None:
        """Write what there is not yet in the files, and again for what the SDK loses while it shuts down after this."""
        self._recorder.lost.then = self.write
        self.write()
        self._show()

    def _show(self) -> None:
        if self._live is not None and os.path.isdir(self._directory):
            with _SHOWING, self._lock:
                self._live.write()
