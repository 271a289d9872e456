"""The one instrumentor that ``opentelemetry-instrument`` finds: settings, reports, patches."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Collection, Iterable
from importlib.metadata import entry_points
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
from opentelemetry.metrics import MeterProvider

from otel_embed import __version__
from otel_embed.config import Config
from otel_embed.environment_variables import OTEL_EMBED_DISABLED_PROVIDERS
from otel_embed.frameworks import FRAMEWORKS
from otel_embed.gauges import gpu, stores
from otel_embed.guard import Guard
from otel_embed.late_logger import LateLogger
from otel_embed.patching import Patches
from otel_embed.pricing.bill import Pricing
from otel_embed.provider import Provider
from otel_embed.providers import PROVIDERS
from otel_embed.report.files import ReportFiles
from otel_embed.report.kept_context import keep_values, leave_values
from otel_embed.report.recorder import CallRecorder
from otel_embed.threads import POOLS
from otel_embed.transports import TRANSPORTS

_logger = LateLogger("otel_embed")
_SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.0"
_THIRD_PARTY = "otel_embed_provider"
_WORKER_SECONDS = 2.0
"""How long a worker of multiprocessing may take to export what it did: its parent waits for its end."""


class EmbeddingInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Observes every embedding library that is or will be imported.

    ``instrument()`` takes ``tracer_provider``, ``meter_provider`` and, by the names of their fields,
    the settings of ``otel_embed.config.Config``; the environment says the rest.
    """

    recorder: CallRecorder | None = None
    _patches: Patches | None = None
    _files: ReportFiles | None = None
    _given: tuple[Any, Any] = (None, None)

    def instrumentation_dependencies(self) -> Collection[str]:
        return ()  # each provider checks its own library when that library is imported

    def _instrument(self, **options: Any) -> None:
        tracers, meters = options.pop("tracer_provider", None), options.pop("meter_provider", None)
        for other in ("skip_dep_check", "raise_exception_on_conflict", "logger_provider"):
            options.pop(other, None)
        self._given = tracers, meters
        config = Config.from_environment(_logger.warning).with_options(options, _logger.warning)
        # An exception from here on would stop every other instrumentation too.
        with Guard("instrument"):
            keep_values()
            tracer = trace.get_tracer("otel_embed", __version__, tracers, schema_url=_SCHEMA_URL)
            self.recorder = _recorder(meters)
            _switch_gauges(self.recorder, config)
            self.recorder.configure(tracer, config, Pricing.configured(config, _logger.warning))
            self._patches = Patches(self.recorder, self.recorder.runs)
            self.recorder.overhead.switch_off = self._patches.remove
            self._patches.install(_enabled(config))
            self.recorder.lost.watch(tracers)
            if config.report_dir is not None:
                self._files = _report_files(self.recorder, config.report_dir)

    def _uninstrument(self, **options: Any) -> None:
        with Guard("uninstrument"):
            if self._patches is not None:
                self._patches.remove()
            if self.recorder is not None:
                self.recorder.settle()
                self.recorder.budget.finish()
                self.recorder.alerts.stop()
                self.recorder.lost.stop()
            leave_values()

    def flush(self, timeout: float) -> None:
        """Count all, write what ``otel-embed run`` reads, and have the SDK export, for ``timeout`` seconds at most."""
        tracers, meters = self._given
        flushing = Guard("flush")
        with flushing:
            if self.recorder is not None:
                self.recorder.settle()
        with flushing:
            if self._files is not None:
                self._files.write()
        for provider in (tracers or trace.get_tracer_provider(), meters or metrics.get_meter_provider()):
            with flushing:  # each: a processor or an exporter of others may raise
                if hasattr(provider, "force_flush"):  # the API alone has nothing to export
                    provider.force_flush(round(timeout * 1000))

    def finish_as_a_worker(self) -> None:
        """A worker of multiprocessing ends without the exit handlers in which an SDK exports."""
        from multiprocessing.util import Finalize

        Finalize(None, self._flush_as_a_worker, exitpriority=5)  # after what is still to be told

    def _flush_as_a_worker(self) -> None:
        with Guard("flush at the end of a worker"):
            if self.recorder is not None and self.recorder.recorded():
                flushing = threading.Thread(target=self.flush, args=(_WORKER_SECONDS,), daemon=True)
                flushing.start()
                flushing.join(_WORKER_SECONDS)  # an SDK does not keep to the time that it is given


class _Global:
    """The global meter provider, whichever it is: what was asked of it before there was an SDK is the SDK's later."""


_GLOBAL = _Global()
_recorders: dict[int, CallRecorder] = {}
"""By the id of a meter provider, while it lives: one need have no hash, as Logfire's has none."""


def _recorder(meters: MeterProvider | None) -> CallRecorder:
    """The one recorder of a meter provider; without any, of the global one."""
    current = metrics.get_meter_provider()
    provider = current if meters is None else meters
    owners = (provider, _GLOBAL) if provider is current else (provider,)
    recorder = next((_recorders[id(owner)] for owner in owners if id(owner) in _recorders), None)
    if recorder is None:
        meter = metrics.get_meter("otel_embed", __version__, provider, schema_url=_SCHEMA_URL)
        recorder = CallRecorder(meter)
    for owner in owners:
        if id(owner) not in _recorders:
            _recorders[id(owner)] = recorder
            weakref.finalize(owner, _recorders.pop, id(owner), None).atexit = False
    return recorder


def _switch_gauges(recorder: CallRecorder, config: Config) -> None:
    for gauges in (gpu, stores):
        on = gauges.NAME not in config.disabled_providers
        gauges.switch(on)
        if on and gauges.NAME not in recorder.gauges:
            recorder.gauges.add(gauges.NAME)
            gauges.observe(recorder.meter)


_reports: dict[tuple[CallRecorder, str], ReportFiles] = {}


def _report_files(recorder: CallRecorder, directory: str) -> ReportFiles:
    """One for a recorder in a directory: two files would tell the same sums, which a report adds up."""
    place = recorder, directory
    if place not in _reports:
        _reports[place] = ReportFiles(recorder, directory)
    return _reports[place]


def declared() -> Iterable[Provider]:
    """Every provider otel_embed knows in this environment."""
    yield from (*TRANSPORTS, POOLS, *PROVIDERS, *FRAMEWORKS, *_third_party())


def _enabled(config: Config) -> Iterable[Provider]:
    providers = list(declared())
    known = [*dict.fromkeys(provider.name for provider in providers), gpu.NAME, stores.NAME]
    if unknown := [str(name) for name in config.disabled_providers if name not in known]:
        said = "%s=%r is not valid: it must be names among %s. It switches nothing off."
        _logger.warning(said, OTEL_EMBED_DISABLED_PROVIDERS, ",".join(sorted(unknown)), ", ".join(known))
    return [provider for provider in providers if provider.name not in config.disabled_providers]


def _third_party() -> Iterable[Provider]:
    """Providers that other distributions declare under the entry point group ``otel_embed_provider``."""
    for entry in entry_points(group=_THIRD_PARTY):
        with Guard(f"load the provider {entry.name}"):
            provider = entry.load()
            if not isinstance(provider, Provider):
                raise TypeError(f"{entry.value} is no otel_embed.provider.Provider")
            yield provider


def _forked() -> None:
    starting = Guard("start anew in a forked process")
    for recorder in set(_recorders.values()):
        with starting:
            recorder.start_anew()
    for files in _reports.values():
        with starting:
            files.start_anew()
    with starting:
        _await_the_end_of_a_worker()


_waiting: list[EmbeddingInstrumentor] = []


def _await_the_end_of_a_worker() -> None:
    """In a child multiprocessing forgets what is to be done at the end, and only then does what is asked for here."""
    if _recorders and not _waiting and "multiprocessing.util" in sys.modules:
        from multiprocessing.util import register_after_fork

        _waiting.append(EmbeddingInstrumentor())
        register_after_fork(_waiting[0], EmbeddingInstrumentor.finish_as_a_worker)


os.register_at_fork(after_in_child=_forked)
