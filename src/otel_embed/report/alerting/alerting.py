"""Alerts in this process: when they are on, the thread that watches, and what an export says of them."""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from otel_embed import alert
from otel_embed.config import Config
from otel_embed.gauges import gpu
from otel_embed.guard import Guard
from otel_embed.late_logger import LateLogger
from otel_embed.record import ModelLoad
from otel_embed.report import names
from otel_embed.report.alerting.look import Observer
from otel_embed.report.alerting.tell import tell
from otel_embed.report.alerting.watch import Watch
from otel_embed.report.budgets.webhook import Webhook
from otel_embed.thresholds import Thresholds

if TYPE_CHECKING:
    from otel_embed.report.recorder import CallRecorder

_logger = LateLogger("otel_embed.alerts")
EVERY_SECONDS = 5.0
_WAIT_SECONDS = 2.0
_BEGINNING, _LOOKING = Guard("begin to look for alerts"), Guard("look for alerts")
_READING, _OBSERVING = Guard("read the thresholds"), Guard(f"observe {names.ALERTS.name}")


class Alerting:
    """``off`` costs nothing; ``auto`` is on as soon as somebody is there to be told."""

    def __init__(self, recorder: CallRecorder, meter: Meter) -> None:
        self._recorder = recorder
        self._config = Config(alerts="off")
        self._thresholds: Thresholds | None = None
        self._watch: Watch | None = None
        self._webhook: Webhook | None = None
        self._looking, self._stop = threading.RLock(), threading.Event()
        self._registered = False
        instrument = names.ALERTS
        meter.create_observable_gauge(instrument.name, [self._observe], instrument.unit, instrument.description)

    def configure(self, config: Config) -> None:
        self.stop()
        self._config = config
        self._thresholds = _own_thresholds(config)
        self._webhook = Webhook(config.alert_webhook) if config.alert_webhook else None
        if config.alerts == "auto":
            alert.awaited.append(self._begin)
        if config.alerts == "on" or (config.alerts == "auto" and (alert.listeners or self._webhook is not None)):
            self._begin()

    def stop(self) -> None:
        """otel_embed is switched off."""
        self._stop.set()
        self._watch = None
        if self._begin in alert.awaited:
            alert.awaited.remove(self._begin)

    def _begin(self) -> None:
        """Watch from now on, if nobody does."""
        if self._watch is not None:
            return
        with self._looking, _BEGINNING:
            thresholds = self._thresholds or Thresholds.load(None, _logger.warning)
            observer = Observer(self._recorder, gpus=gpu.NAME not in self._config.disabled_providers)
            self._watch = Watch(observer, thresholds, partial(tell, webhook=self._webhook))
            if not self._registered:
                self._registered = True
                atexit.register(self.finish)
            self._start()

    def _start(self) -> None:
        self._stop = threading.Event()
        threading.Thread(target=self._work, args=(self._stop,), name="otel-embed-alerts", daemon=True).start()

    def _work(self, stop: threading.Event) -> None:
        while not stop.wait(EVERY_SECONDS):
            self._look()

    def _look(self, ends: bool = False) -> None:
        if not self._looking.acquire(timeout=_WAIT_SECONDS):
            return  # for a function of the application's that does not come back
        try:
            with _LOOKING:
                if self._watch is not None:
                    self._watch.look(ends)
        finally:
            self._looking.release()

    def finish(self) -> None:
        """The process ends: look a last time."""
        self._stop.set()
        self._look(ends=True)
        if self._webhook is not None:
            self._webhook.finish()

    def loaded(self, load: ModelLoad) -> None:
        """A model was loaded into this process."""
        watch = self._watch
        if watch is not None:
            watch.observer.loads.append(load)

    def start_anew(self) -> None:
        """In a forked child: what its parent did is the parent's, and so are its alerts."""
        self._looking = threading.RLock()
        if self._webhook is not None:
            self._webhook.clear()
        if self._watch is None:
            return
        self._watch = None
        self._begin()
        if "multiprocessing.util" in sys.modules:
            from multiprocessing.util import register_after_fork

            register_after_fork(self, Alerting._finish_as_a_worker)  # which forgets what is set before it

    def _finish_as_a_worker(self) -> None:
        """A worker of multiprocessing ends without running exit handlers."""
        from multiprocessing.util import Finalize

        Finalize(None, self.finish, exitpriority=10)

    def _observe(self, _: CallbackOptions) -> Iterable[Observation]:
        watch = self._watch
        observations: list[Observation] = []
        with _OBSERVING:
            active = {} if watch is None else watch.active()
            observations += [Observation(count, {names.ALERT: name}) for name, count in active.items()]
        return observations


def _own_thresholds(config: Config) -> Thresholds | None:
    """Those of a file are read at once: what is wrong with it is said, also where nobody asks for alerts yet."""
    found: Thresholds | None = None
    if config.thresholds is not None:
        run_says_it = config.report_dir is not None
        with _READING:
            found = Thresholds.load(config.thresholds, _say_nothing if run_says_it else _logger.warning)
    return found


def _say_nothing(_: str) -> None:
    pass
