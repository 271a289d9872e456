"""What vector stores and the loading of models added up to in this process. They start anew in a forked child."""

from __future__ import annotations

import threading
from typing import Any

from otel_embed.record import ModelLoad, StoreOperation
from otel_embed.report.sketch import Sketch
from otel_embed.report.totals import OVERFLOW

MAX_KINDS = 200


class _Operations:
    """Those of one method of one store's class."""

    __slots__ = ("documents", "errors", "own", "seconds")

    def __init__(self) -> None:
        self.documents = 0
        self.seconds = 0.0
        self.errors: dict[str, int] = {}
        self.own = Sketch()


class _Loads:
    """Those of one model onto one device."""

    __slots__ = ("errors", "seconds")

    def __init__(self) -> None:
        self.seconds = Sketch()
        self.errors: dict[str, int] = {}


class WorkTotals:
    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._lock = threading.Lock()
        self._operations: dict[tuple[str, str, str], _Operations] = {}
        self._loads: dict[tuple[str, str | None, str | None], _Loads] = {}
        self.count = 0
        """Operations and loads."""

    def add_operation(self, record: StoreOperation) -> None:
        with self._lock:
            key = (record.component.framework, record.component.name, record.component.method)
            if key not in self._operations and len(self._operations) >= MAX_KINDS:
                key = (record.component.framework, OVERFLOW, OVERFLOW)
            found = self._operations.setdefault(key, _Operations())
            found.documents += record.documents or 0
            found.seconds += record.duration_ns / 1e9
            found.own.add(record.own_ns / 1e9)
            if record.failure is not None:
                found.errors[record.failure.cause] = found.errors.get(record.failure.cause, 0) + 1
            self.count += 1

    def add_load(self, load: ModelLoad) -> None:
        with self._lock:
            key = (load.provider, load.model, load.device)
            if key not in self._loads and len(self._loads) >= MAX_KINDS:
                key = (load.provider, OVERFLOW, None)
            found = self._loads.setdefault(key, _Loads())
            found.seconds.add(load.duration_ns / 1e9)
            if load.error is not None:
                found.errors[load.error] = found.errors.get(load.error, 0) + 1
            self.count += 1

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """For a summary document. Times in seconds; a vector store's own are without the embedding inside."""
        with self._lock:
            operations = [
                {
                    "framework": framework, "store": store, "method": method, "calls": found.own.count,
                    "errors": dict(found.errors), "documents": found.documents, "seconds": found.seconds,
                    "own": found.own.to_dict(),
                }
                for (framework, store, method), found in self._operations.items()
            ]  # fmt: skip
            loads = [
                {
                    "provider": provider, "model": model, "device": device or "unknown", "loads": found.seconds.count,
                    "errors": dict(found.errors), "seconds": found.seconds.to_dict(),
                }
                for (provider, model, device), found in self._loads.items()
            ]  # fmt: skip
        return {"store_operations": operations, "loads": loads}
