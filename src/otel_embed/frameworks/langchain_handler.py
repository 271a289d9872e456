"""LangChain's own hook for those who want to be told of every run: a callback handler, in force everywhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from functools import cache
from inspect import CO_ASYNC_GENERATOR, CO_GENERATOR
from types import FrameType
from typing import Any

import otel_embed.guard as guard
from otel_embed.frameworks import langchain_runs as reading
from otel_embed.run_record import Current

_TELLING = guard.Guard("follow a run of LangChain's")
_GENERATES = CO_GENERATOR | CO_ASYNC_GENERATOR
_MANAGERS = ("langchain_core.callbacks", __name__)
_CHAT_MODELS = "langchain_core.language_models.chat_models"


def register(register_configure_hook: Any, runs: Any) -> Callable[[], None]:
    """Tell ``runs`` of every run from now on; returns what ends that."""
    handler = _handler(register_configure_hook)
    handler.runs = runs

    def undo() -> None:
        if handler.runs is runs:
            handler.runs = None

    return undo


@cache
def _handler(register_configure_hook: Any) -> Any:
    # Once a process: what is registered cannot be taken back.
    handler = _handler_class()()
    register_configure_hook(ContextVar("otel_embed", default=handler), inheritable=True)
    return handler


@cache
def _handler_class() -> Any:
    from langchain_core.callbacks.base import BaseCallbackHandler

    return type("OtelEmbedHandler", (_Handler, BaseCallbackHandler), {"__module__": __name__})


def _same() -> Any:
    """The handler of this process, for one that comes out of a pickle."""
    from langchain_core.tracers.context import register_configure_hook

    return _handler(register_configure_hook)


class _Handler:
    """LangChain logs what a handler raises and goes on; ours raise nothing, but under test."""

    runs: Any = None

    @property
    def run_inline(self) -> bool:
        """True: in the task of the run itself. But not in the eyes of ``AsyncCallbackManager.on_llm_start``, which
        tells nobody else where one handler is inline."""
        asking = sys._getframe(1)
        if asking.f_code.co_name.startswith("<") and asking.f_back is not None:
            asking = asking.f_back  # a comprehension, before Python 3.12
        return asking.f_code.co_name != "on_llm_start"

    @property
    def raise_error(self) -> bool:
        return guard.reraise

    @property
    def ignore_chain(self) -> bool:
        return self.runs is None

    ignore_llm = ignore_chat_model = ignore_retriever = ignore_agent = ignore_chain
    ignore_retry = ignore_custom_event = True

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    def __reduce__(self) -> Any:
        return _same, ()

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: Any, **told: Any) -> None:
        self._begin(run_id, reading.chain, serialized, told)

    def on_retriever_start(self, serialized: Any, query: Any, *, run_id: Any, **told: Any) -> None:
        self._begin(run_id, reading.retriever, serialized, told)

    def on_tool_start(self, serialized: Any, input_str: Any, *, run_id: Any, **told: Any) -> None:
        self._begin(run_id, reading.tool, serialized, told)

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: Any, **told: Any) -> None:
        self._begin(run_id, reading.chat, serialized, told, messages)

    def on_llm_start(self, serialized: Any, prompts: Any, *, run_id: Any, **told: Any) -> None:
        self._begin(run_id, reading.completion, serialized, told, prompts)

    def on_llm_new_token(self, token: Any, *, run_id: Any, chunk: Any = None, **told: Any) -> None:
        with _TELLING:
            run = self.runs.chunk(run_id) if self.runs is not None else None
            if run is not None and (token or reading.says_something(chunk)):
                run.saw_content()

    def on_stream_event(self, event: Any, *, run_id: Any, **told: Any) -> None:
        with _TELLING:
            run = self.runs.chunk(run_id) if self.runs is not None else None
            if run is not None and reading.is_content(event):
                run.saw_content()

    def on_llm_end(self, response: Any, *, run_id: Any, **told: Any) -> None:
        self._end(run_id, None, response)

    def on_llm_error(self, error: BaseException, *, run_id: Any, response: Any = None, **told: Any) -> None:
        self._end(run_id, error, response)

    def on_chain_end(self, outputs: Any, *, run_id: Any, **told: Any) -> None:
        self._end(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: Any, **told: Any) -> None:
        self._end(run_id, error)

    def on_tool_end(self, output: Any, *, run_id: Any, **told: Any) -> None:
        self._end(run_id)

    on_tool_error = on_retriever_error = on_chain_error

    def on_retriever_end(self, documents: Any, *, run_id: Any, **told: Any) -> None:
        self._end(run_id)

    def _begin(self, run_id: Any, read: Callable[..., Any], serialized: Any, told: Any, *asked: Any) -> None:
        with _TELLING:
            if self.runs is not None:
                several, parent = (told.get("batch_size") or 1) > 1, told.get("parent_run_id")
                current = "never" if several else _current(sys._getframe(2), parent)
                self.runs.begin(run_id, parent, read(serialized, told, current, *asked))

    def _end(self, run_id: Any, error: BaseException | None = None, response: Any = None) -> None:
        reply = None
        if self.runs is not None and response is not None:
            with _TELLING:
                reply = reading.reply(response)
        with _TELLING:
            if self.runs is not None:
                self.runs.end(run_id, error, reply)


def _current(frame: FrameType | None, parent: Any) -> Current:
    """Whether the run that begins may be current: not where others get control before it ends, and would find it so.

    A generator hands its chunks to somebody else's code in between: to the application's, or, in a context that
    LangChain made for the run around it, to LangChain's. A chat model tells of each chunk before it hands it on. The
    runs of a batch begin all at once.
    """
    while frame is not None and str(frame.f_globals.get("__name__")).startswith(_MANAGERS):
        frame = frame.f_back
    if frame is None or str(frame.f_globals.get("__name__")).startswith("asyncio."):
        return "never"  # a task of the manager's own
    code = frame.f_code
    if code.co_name.startswith("<") and frame.f_back is not None:
        code = frame.f_back.f_code  # a comprehension, before Python 3.12
    if "batch" in code.co_name:
        return "never"
    if not code.co_flags & _GENERATES:
        return "always"
    if frame.f_globals.get("__name__") == _CHAT_MODELS and code.co_name in ("stream", "astream"):
        return "until_token"
    return "inside" if parent is not None and _body_of() == parent else "never"


def _body_of() -> Any:
    """The run for whose body LangChain made the context that this code runs in; None where it made none."""
    module = sys.modules.get("langchain_core.runnables.config")
    variable = getattr(module, "var_child_runnable_config", None)
    config = variable.get() if variable is not None else None
    return getattr(config.get("callbacks"), "parent_run_id", None) if isinstance(config, dict) else None
