"""Loggers that outlive the application's own set-up of logging."""

from __future__ import annotations

import logging
from typing import Any


class LateLogger:
    """A logger that is made once it has something to say.

    ``logging.config`` disables all loggers that exist when it runs, unless it is told not to; under
    ``opentelemetry-instrument`` that is after we began.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def is_on(self, level: int) -> bool:
        return logging.getLogger(self._name).isEnabledFor(level)

    def log(self, level: int, message: str, *args: Any, stacklevel: int = 1, **options: Any) -> None:
        logging.getLogger(self._name).log(level, message, *args, stacklevel=stacklevel + 1, **options)

    def info(self, message: str, *args: Any) -> None:
        self.log(logging.INFO, message, *args, stacklevel=2)

    def warning(self, message: str, *args: Any, **options: Any) -> None:
        self.log(logging.WARNING, message, *args, stacklevel=2, **options)
