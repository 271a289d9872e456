"""Posts JSON to an address, on a thread of its own: again with a pause where it fails, and never for ever."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

from opentelemetry import context

from otel_embed.guard import Guard
from otel_embed.late_logger import LateLogger

_logger = LateLogger("otel_embed.budget")
_POSTING = Guard("post an alert")
_PAUSES = (0.5, 2.0, 8.0)
_TIMEOUT, _LAST_TIMEOUT, _MOST_WAITING = 5.0, 1.0, 100
_EXIT_SECONDS = 2.0


class Webhook:
    """The address is a secret: it is never logged."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.clear()

    def clear(self) -> None:
        """Begin anew, as in a forked child."""
        self._lock = threading.Lock()
        self._waiting: deque[Mapping[str, Any]] = deque(maxlen=_MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._hurry = threading.Event()

    def send(self, payload: Mapping[str, Any]) -> None:
        """Post it soon; returns at once."""
        with self._lock:
            self._waiting.append(payload)
            if self._thread is None and not self._hurry.is_set():
                self._thread = threading.Thread(target=self._work, name="otel-embed-webhook", daemon=True)
                self._thread.start()

    def finish(self) -> None:
        """The process ends: what waits is tried once more, for a second or two."""
        self._hurry.set()
        thread = self._thread
        if thread is not None:
            thread.join(_EXIT_SECONDS)
        elif self._waiting:
            self._post_all()
        self._hurry.clear()

    def _work(self) -> None:
        self._post_all()

    def _post_all(self) -> None:
        token = context.attach(context.set_value("suppress_instrumentation", True))
        try:
            while True:
                with self._lock:
                    if not self._waiting:
                        self._thread = None
                        return
                    payload = self._waiting.popleft()
                with _POSTING:
                    self._deliver(payload)
        finally:
            context.detach(token)

    def _deliver(self, payload: Mapping[str, Any]) -> None:
        body = json.dumps(payload).encode()
        for pause in (*_PAUSES, None):
            wrong = self._post(body)
            if wrong is None:
                return
            if pause is None or self._hurry.is_set() or not wrong[1]:
                _logger.warning("An alert could not be posted to the webhook: %s", wrong[0])
                return
            self._hurry.wait(pause)

    def _post(self, body: bytes) -> tuple[str, bool] | None:
        """What went wrong, and whether it may go better another time; None where it arrived."""
        # Only where something is posted: they bring a good part of the standard library along.
        import http.client
        import urllib.error
        import urllib.request

        try:
            request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"}, method="POST")
            with urllib.request.urlopen(request, timeout=_LAST_TIMEOUT if self._hurry.is_set() else _TIMEOUT):
                return None
        except urllib.error.HTTPError as error:
            error.close()
            return f"status {error.code}", error.code in (408, 429) or error.code >= 500
        except OSError as error:
            return _reason(getattr(error, "reason", error)), True
        except (ValueError, http.client.InvalidURL):  # whose text has the address in it
            return "its address is not valid", False
        except http.client.HTTPException as error:
            return f"its answer is no HTTP ({type(error).__name__})", True


def _reason(cause: object) -> str:
    """``Connection refused``, ``timed out``, ``CERTIFICATE_VERIFY_FAILED``: nothing that names the address."""
    for said in (getattr(cause, "reason", None), getattr(cause, "strerror", None), str(cause)):
        if isinstance(said, str) and said:
            return said
    return type(cause).__name__
