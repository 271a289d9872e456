"""From a framework's callbacks to finished runs: chains, retrievers, tools, chat models.

A framework tells when a run begins and when it ends, and nothing runs in between that could be wrapped. So a run is
made current when it begins, where that is safe, and the context is given back when it ends: by its token in the same
thread or task; elsewhere (LangChain ends asynchronous runs in a task of their own) by making the context that was
attached, wherever it still is, equal to the one before it.
"""

from __future__ import annotations

import time
import weakref
from contextvars import Token
from typing import Any, Protocol

from opentelemetry import context
from opentelemetry.context import Context

from otel_embed.failure import failure
from otel_embed.guard import Guard
from otel_embed.provider import FoundAnswer
from otel_embed.record import Attribution, Component, Cost, Failure
from otel_embed.run_record import AnswerCache, Began, ChatCall, ChatReply, ChatRequest, ComponentRun

OPEN_RUN = context.create_key("otel-embed-run")
MAX_OPEN = 10_000
_SUPPRESSED = "suppress_instrumentation"
_MANY = 64
_NO_REPLY, _NOWHERE = ChatReply(), Context()
_REPORTING = Guard("report a run")


class RunReports(Protocol):
    """Where runs go."""

    def begin(self, run: OpenRun, around: Context) -> Context:
        """A run begins: the context in which it runs, with the run in it under ``OPEN_RUN``."""

    def finish(self, run: OpenRun) -> None:
        """A run is over."""


class OpenRun:
    """A run, from when it begins until it is reported."""

    end = 0
    first_token = 0
    delegated = False
    token: Token[Context] | None = None
    failure: Failure | None = None
    span: Any = None
    covered = False
    """True where another instrumentation has a span of this run."""
    measured = False
    """True where it has the convention's metrics too."""
    cache: AnswerCache | None = None
    attribution: Attribution = ()
    told_with_another = False
    reply = _NO_REPLY

    def __init__(self, id: str, began: Began, parent: OpenRun | None, around: Context, reports: RunReports) -> None:
        self.start_unix_ns, self.start = time.time_ns(), time.perf_counter_ns()
        self.id = id
        self.began = began
        self.request = began.request
        self.parent = parent
        self.before = context.get_current()
        """What was current when the run began."""
        self._inside: list[tuple[int, int]] = []
        self._unended: list[OpenRun] = []
        self._followers: list[weakref.ref[Context]] = []
        if self.request is not None:
            above = parent
            while above is not None:
                above.delegated = above.request is not None
                above = above.parent
        self.context = reports.begin(self, around)
        if began.current == "never" or (began.current == "inside" and parent is None):
            return
        if began.current == "inside" and parent is not None:
            parent._unended = [run for run in parent._unended if run.token is not None] + [self]
        self.token = context.attach(self.context)

    def around(self) -> Context:
        """The context for a run that belongs inside this one and begins where this one is not current."""
        here = context.get_current()
        mine = {key: value for key, value in self.context.items() if self.before.get(key) is not value}
        return Context({**self.context, **here, **mine})

    def leave(self) -> None:
        """Give back the context, if it was not given back before, and those of runs inside that were left unended."""
        for run in reversed(self._unended):
            run.leave()
        self._unended = []
        token, self.token = self.token, None
        if token is None:
            return
        if context.get_current() is not self.context or not _reset(token):
            self._follow(self.context)
        for reference in self._followers:
            follower = reference()
            if follower is not None:
                self._follow(follower)
        self._followers = []

    def _follow(self, left: Context) -> None:
        """Let a context that may still be current somewhere be what was before this run, and is outside it."""
        for key in [key for key in left if key not in self.before]:
            dict.pop(left, key, None)
        dict.update(left, self.before)
        outer = self.before.get(OPEN_RUN)
        if isinstance(outer, OpenRun) and outer.token is not None:
            outer._keep(left)

    def _keep(self, left: Context) -> None:
        if len(self._followers) >= _MANY:
            self._followers = [reference for reference in self._followers if reference() is not None]
        self._followers.append(weakref.ref(left))

    def saw_content(self) -> None:
        self.first_token = time.perf_counter_ns()

    def ended_inside(self, start: int, end: int) -> None:
        self._inside.append((start, end))
        if len(self._inside) >= _MANY:
            self._inside = _union(self._inside)

    def own_ns(self) -> int:
        inside = sum(min(end, self.end) - max(start, self.start) for start, end in _union(self._inside))
        return max(0, self.end - self.start - inside)

    def component_run(self) -> ComponentRun:
        began, parent = self.began, None if self.parent is None else self.parent.id
        return ComponentRun(
            began.framework, began.kind or "chain", began.name, self.id, parent,
            self.start_unix_ns, self.end - self.start, self.own_ns(), self.failure,
        )  # fmt: skip

    def chat_call(self, request: ChatRequest, cost: Cost | None) -> ChatCall:
        reply, hit = self.reply, self.cache is not None and self.cache.hit
        return ChatCall(
            request.operation, request.provider, request.model, reply.model, request.server,
            Component(self.began.framework, self.began.name, request.operation), not self.delegated,
            None if hit or self.delegated else reply.usage, cost, self.start_unix_ns, self.end - self.start,
            self.first_token - self.start if self.first_token and not hit else None,
            reply.finish_reasons, reply.id, request.parameters, self.cache, self.failure,
            self.attribution, self.told_with_another,
        )  # fmt: skip


class Runs:
    """The runs that are open in this process."""

    def __init__(self, reports: RunReports) -> None:
        self._reports = reports
        self._open: dict[Any, OpenRun] = {}
        self._seen: dict[int, tuple[Any, list[AnswerCache]]] = {}
        """Answers by ``id``, each with its hits, or with its write, for which no call is known yet."""
        self._missed: dict[int, AnswerCache] = {}
        self._told: dict[int, int] = {}
        self.observed = True
        """False where runs are to be left alone."""

    def clear(self) -> None:
        """In a forked child: the parent's runs are the parent's."""
        for known in (self._open, self._seen, self._missed, self._told):
            known.clear()

    def begin(self, id: Any, parent_id: Any, began: Began) -> OpenRun | None:
        """A run begins in the current thread and task."""
        current = context.get_current()
        if not self.observed or current.get(_SUPPRESSED) or id in self._open:
            return None
        here = current.get(OPEN_RUN)
        if not isinstance(here, OpenRun) or here.end:
            here = None
        parent = self._open.get(parent_id) if parent_id is not None else None
        parent = parent or here
        around = current if parent is None or parent is here else parent.around()
        run = self._open[id] = OpenRun(str(id), began, parent, around, self._reports)
        if self._missed and began.request is not None and began.request.prompt is not None:
            run.cache = self._missed.pop(hash(began.request.prompt), None)
        if len(self._open) > MAX_OPEN:
            self._abandon()
        return run

    def chunk(self, id: Any) -> OpenRun | None:
        """A chunk of a model's answer has come. Returns its run while no chunk with content has come before."""
        run = self._open.get(id)
        if run is None or run.request is None:
            return None
        if run.token is not None and run.began.current == "until_token":
            run.leave()
        return None if run.first_token else run

    def end(self, id: Any, error: BaseException | None = None, reply: ChatReply | None = None) -> None:
        """A run is over."""
        run = self._open.pop(id, None)
        if run is None:
            return
        run.end = time.perf_counter_ns()
        run.leave()
        run.failure = None if error is None else failure(error)
        if reply is not None:
            run.reply = reply
            if run.request is not None and run.request.operation == "text_completion":
                run.told_with_another = self._is_told(run, run.request, reply)
            if run.cache is None and self._seen:
                run.cache = self._cache_of(reply)
            if reply.from_cache and run.cache is None:
                run.cache = AnswerCache("unknown", True, saved=reply.usage)
        self._finish(run)

    def _is_told(self, run: OpenRun, request: ChatRequest, reply: ChatReply) -> bool:
        """Whether a call that was open with this one, of the same model, has told what both took."""
        of_model = hash((request.provider, request.model, request.server))
        if reply.usage is not None:
            _remember(self._told, of_model, run.end)
        return reply.usage_is_empty and reply.usage is None and self._told.get(of_model, 0) > run.start

    def looked_up(self, store: str, found: FoundAnswer, started: int) -> None:
        """A cache of answers was asked, for a call that is current, or begins only now, or, on a hit, never will."""
        now = time.perf_counter_ns()
        saved = found.reply.usage if found.reply is not None else None
        cache = AnswerCache(store, found.hit, now - started, 0, saved if found.hit else None)
        run = self.model_run()
        if run is not None:
            run.cache = cache
        elif found.hit and found.request is not None:
            self._answered(found, cache, now)
        elif found.hit and found.answer is not None:
            self._see(found.answer, cache)
        elif found.prompt is not None:
            _remember(self._missed, hash(found.prompt), cache)

    def kept(self, store: str, found: FoundAnswer, started: int) -> None:
        """A cache of answers has written one that it did not have."""
        run, took = self.model_run(), time.perf_counter_ns() - started
        if run is not None and run.cache is not None:
            run.cache = run.cache._replace(write_ns=took)
        elif found.answer is not None:
            self._see(found.answer, AnswerCache(store, False, 0, took))

    def model_run(self) -> OpenRun | None:
        """The call of a model that is current."""
        run = context.get_current().get(OPEN_RUN)
        return run if isinstance(run, OpenRun) and run.request is not None and not run.end else None

    def _cache_of(self, reply: ChatReply) -> AnswerCache | None:
        """The cache that gave this answer, or keeps it, where it was asked while no call was current."""
        answer, caches = self._seen.pop(id(reply.answer), (None, []))
        if answer is None or answer is not reply.answer:
            return None
        cache, *others = caches
        if others:  # as many prompts of one call have the same answer
            self._seen[id(answer)] = answer, others
        return cache

    def _see(self, answer: Any, cache: AnswerCache) -> None:
        before, caches = self._seen.get(id(answer), (None, []))
        hits = [each for each in caches[-_MANY:] if each.hit] if cache.hit and before is answer else []
        _remember(self._seen, id(answer), (answer, [*hits, cache]))

    def _answered(self, found: FoundAnswer, cache: AnswerCache, now: int) -> None:
        """A cached answer of a completion model, which tells nobody of a call that it does not make."""
        began = Began(found.framework, None, found.name, found.request, current="never")
        key = object()
        run = self.begin(key, None, began)
        if run is not None:
            run.start, run.start_unix_ns = now - cache.lookup_ns, run.start_unix_ns - cache.lookup_ns
            run.cache = cache
            self.end(key, None, found.reply)

    def _finish(self, run: OpenRun) -> None:
        if run.parent is not None:
            run.parent.ended_inside(run.start, run.end)
        with _REPORTING:
            self._reports.finish(run)
        # A context that lives on holds the run, and the run shall hold nothing of the application's.
        run.request = run.parent = None
        run.reply = _NO_REPLY
        run.context = run.before = _NOWHERE

    def _abandon(self) -> None:
        """Give up the oldest run, whose end nobody will tell of."""
        oldest = self._open.pop(next(iter(self._open)), None)
        if oldest is not None:
            oldest.end = time.perf_counter_ns()
            oldest.leave()
            with _REPORTING:
                if oldest.span is not None:
                    oldest.span.end()


def _remember(answers: dict[int, Any], key: int, value: Any) -> None:
    if len(answers) >= _MANY:
        answers.pop(next(iter(answers)), None)
    answers[key] = value


def _reset(token: Token[Context]) -> bool:
    """Detach; False in another thread's or task's context, where OpenTelemetry would log an error."""
    try:
        token.var.reset(token)
    except (ValueError, RuntimeError):
        return False
    return True


def _union(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    whole: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if whole and start <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(end, whole[-1][1]))
        else:
            whole.append((start, end))
    return whole
