"""A streamed response whose end is seen, and nothing else of it changed.

The application reads the body itself, in any of the ways the library offers. What is read passes
through untouched and nothing is read ahead; the last few hundred bytes are remembered, because there
an embeddings answer says what it cost. ``read`` and ``aread`` get a stand-in on the one response
whose body is open, gone once they return: only after them is the decoded body there to be looked at.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Iterator
from functools import lru_cache
from typing import Any

from otel_embed.exchange import OpenExchange
from otel_embed.guard import Guard

TAIL = "otel_embed.tail"
"""The key under which a response's ``extensions`` hold the end of a body that the application iterated over."""
_TAIL_BYTES = 512
_WATCHING = Guard("see the end of a response body")


def watch(response: Any, exchange: OpenExchange) -> None:
    """Close the exchange when the body has been read, has failed or is given up."""
    exchange.body_open = True
    encoded = "content-encoding" in response.headers
    response.stream = _class(response.stream.__class__)(
        response.stream, exchange, None if encoded else response.extensions, weakref.ref(response)
    )
    read, aread = response.read, response.aread

    def read_and_close() -> Any:
        with _WATCHING:
            _hold(response, exchange)
        try:
            return read()
        finally:
            with _WATCHING:
                exchange.release()

    async def aread_and_close() -> Any:
        with _WATCHING:
            _hold(response, exchange)
        try:
            return await aread()
        finally:
            with _WATCHING:
                exchange.release()

    response.read, response.aread = read_and_close, aread_and_close


def _hold(response: Any, exchange: OpenExchange) -> None:
    _give_back(response)
    exchange.hold()


def _give_back(response: Any) -> None:
    """Its own methods to the response, which no longer needs the stand-ins."""
    if response is not None:
        response.__dict__.pop("read", None)
        response.__dict__.pop("aread", None)


@lru_cache(maxsize=32)
def _class(kind: Any) -> Any:
    bases = tuple(base for base in kind.__mro__ if base.__name__ in ("SyncByteStream", "AsyncByteStream"))
    return type("WatchedStream", (_Watched, *bases), {})


class _Watched:
    def __init__(
        self, stream: Any, exchange: OpenExchange, extensions: dict[str, Any] | None, response: weakref.ref[Any]
    ) -> None:
        self._stream = stream
        self._exchange = exchange
        self._extensions = extensions
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._stream:
                with _WATCHING:
                    self._remember(chunk)
                yield chunk
        except GeneratorExit:
            raise  # the application has read enough of it
        except BaseException as error:
            with _WATCHING:
                self._exchange.over(error)
            raise

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                with _WATCHING:
                    self._remember(chunk)
                yield chunk
        except GeneratorExit:
            raise  # the application has read enough of it
        except BaseException as error:
            with _WATCHING:
                self._exchange.over(error)
            raise

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            with _WATCHING:
                self._over()

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            with _WATCHING:
                self._over()

    def _over(self) -> None:
        _give_back(self._response())
        self._exchange.over()

    def __del__(self) -> None:
        with _WATCHING:
            self._exchange.drop()  # a response that was dropped without being read or closed

    def _remember(self, chunk: bytes) -> None:
        if self._extensions is not None:
            heard = self._extensions.get(TAIL, b"") + chunk[-_TAIL_BYTES:]
            self._extensions[TAIL] = self._exchange.heard = heard[-_TAIL_BYTES:]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_stream"], name)
