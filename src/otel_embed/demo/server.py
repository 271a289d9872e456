"""A small OpenAI-compatible server on loopback, standard library only.

It answers ``POST .../chat/completions`` with sentences of the prompt, and ``POST .../embeddings`` with vectors by which
similar texts are found, counts tokens by a simple rule (token ids: their number; text: its words and punctuation marks)
and keeps a ledger of what it would bill.
``python -m otel_embed.demo.server --help`` says how to run it alone.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import ClassVar, NamedTuple

from otel_embed.demo import chat, wire
from otel_embed.demo.ledger import Allowance, Bill, Ledger
from otel_embed.demo.loopback import LoopbackHandler, LoopbackServer
from otel_embed.demo.vectors import embed, tokenize


class Latency(NamedTuple):
    """How long the server thinks, in seconds."""

    base: float = 0.0
    per_token: float = 0.0
    jitter: float = 0.0
    """Sigma of a log-normal factor on the whole: none at 0; at 0.3 one answer in a hundred takes twice as long."""
    seed: int = 0

    def seconds(self, tokens: int, source: random.Random) -> float:
        return (self.base + self.per_token * tokens) * source.lognormvariate(0, self.jitter)


class RateLimit(NamedTuple):
    """Answer every so many-th request with a 429 that asks for ``retry_after`` seconds of patience."""

    every: int
    retry_after: float = 0.25


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes
    model: str | None = None
    bill: Bill | None = None
    """What to charge once the answer is delivered."""
    parts: Sequence[bytes] = ()
    """The body in pieces that are sent one after another."""


class EmbeddingHandler(LoopbackHandler):
    server: EmbeddingServer

    def do_POST(self) -> None:
        answer = self.server.answer(self.path, self.read_body())
        self.start(answer.status, {**answer.headers, "content-length": str(len(answer.body))})
        self.finish_with(answer, answer.body)

    def finish_with(self, answer: Answer, last: bytes) -> None:
        """Charge and send the last bytes, if the client still waits for them."""
        if self.client_is_gone():
            self.close_connection = True
            return
        # Before the bytes: whoever has the whole answer finds the ledger complete.
        self.charge(answer)
        for part in answer.parts[:-1] if answer.body == last else ():
            self.wfile.write(part)
            self.wfile.flush()
            self.server.closing.wait(self.server.writing.per_token)
            last = last[len(part) :]
        self.wfile.write(last)
        self.wfile.flush()

    def charge(self, answer: Answer) -> None:
        if answer.model and answer.bill:
            self.server.billed.charge(answer.model, answer.bill)


class EmbeddingServer(LoopbackServer):
    """Serves while its ``with`` block lasts; ``url`` is the base URL for a client."""

    handler: ClassVar[type[LoopbackHandler]] = EmbeddingHandler

    def __init__(
        self,
        *,
        port: int = 0,
        latency: Latency | None = None,
        rate_limit: RateLimit | None = None,
        deployments: Mapping[str, str] | None = None,
        writing: Latency | None = None,
    ) -> None:
        """``deployments`` names the model behind an Azure deployment; any other name is the model's own.

        ``writing`` is how long a chat model takes: ``base`` to its first token, ``per_token`` for each further one.
        """
        self.latency = latency or Latency()
        self.writing = writing or Latency()
        self.cached_tokens = 0
        """How many tokens of a chat's prompt are said to come from the provider's cache."""
        self.rate_limit = rate_limit
        self.deployments = deployments or {}
        self.billed = Ledger()
        """Tokens, inputs and requests of every successful answer, in all and by model."""
        self._allowances = Allowance("requests", 10_000), Allowance("tokens", 5_000_000)
        self._random = random.Random(self.latency.seed)
        self._lock = threading.Lock()
        self._asked = 0
        super().__init__(port=port)

    @property
    def url(self) -> str:
        return f"{self.origin}/v1"

    def answer(self, path: str, raw: bytes, refusal: wire.Refusal | None = None) -> Answer:
        """What to say to a request, after the time that takes; ``refusal``, if there is one."""
        started = time.perf_counter()
        try:
            if refusal:
                raise refusal
            is_chat = path.partition("?")[0].endswith(chat.PATH)
            answer = self._chat(raw) if is_chat else self._embeddings(path, raw, started)
        except wire.Refusal as refused:
            answer = Answer(refused.status, refused.headers, refused.body)
        return answer._replace(headers={**self._headers(answer, started), **answer.headers})

    def _embeddings(self, path: str, raw: bytes, started: float) -> Answer:
        request = wire.parse(path, raw, self.deployments)
        self._limit_rate(request.model)
        texts = [tokenize(text) for text in request.inputs]
        for tokens in texts:
            wire.check_length(len(tokens))
        total = sum(map(len, texts))
        body = wire.response(request, [embed(tokens, request.dimensions) for tokens in texts], total)
        self.closing.wait(self.latency.seconds(total, self._random) - (time.perf_counter() - started))
        return Answer(200, {"openai-model": request.model}, body, request.model, Bill(1, len(texts), total))

    def _chat(self, raw: bytes) -> Answer:
        request = chat.parse(raw)
        self._limit_rate(request.model)
        answer = chat.complete(request, self.cached_tokens)
        written = answer.completion_tokens * request.choices
        bill = Bill(1, 1, answer.prompt_tokens, written, answer.cached_tokens)
        if request.streamed:
            self.closing.wait(self.writing.base)
            parts = chat.events(request, answer)
            return Answer(200, {"content-type": "text/event-stream"}, b"".join(parts), request.model, bill, parts)
        self.closing.wait(self.writing.base + self.writing.per_token * written)
        return Answer(200, {}, chat.response(request, answer), request.model, bill)

    def _limit_rate(self, model: str) -> None:
        with self._lock:
            self._asked += 1
            asked = self._asked
        if self.rate_limit and asked % self.rate_limit.every == 0:
            raise wire.rate_limited(model, self.rate_limit.retry_after)

    def _headers(self, answer: Answer, started: float) -> dict[str, str]:
        requests, tokens = self._allowances
        return {
            "content-type": "application/json",
            "openai-version": "2020-10-01",
            "openai-processing-ms": str(round((time.perf_counter() - started) * 1000)),
            "x-request-id": f"req_{uuid.uuid4().hex}",
            **requests.use(1),
            **tokens.use(answer.bill.tokens if answer.bill else 0),
        }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the base URL, then serve until interrupted, or until standard input ends where asked to."""
    options = _parser().parse_args(arguments)
    latency = Latency(options.latency_ms / 1e3, options.per_token_us / 1e6, options.jitter, options.seed)
    rate_limit = RateLimit(options.limit_every, options.retry_after_ms / 1e3) if options.limit_every else None
    if options.stop_with_stdin:
        # The parent decides when to stop, also after a Ctrl-C that both of them get.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    writing = Latency(options.first_token_ms / 1e3, options.token_ms / 1e3)
    server = EmbeddingServer(port=options.port, latency=latency, rate_limit=rate_limit, writing=writing)
    with suppress(KeyboardInterrupt), server:
        print(server.url, flush=True)
        if options.stop_with_stdin:
            sys.stdin.read()
        else:
            threading.Event().wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m otel_embed.demo.server", description="Serve embeddings on loopback."
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--latency-ms", type=float, default=0, help="time to think about a request")
    parser.add_argument("--per-token-us", type=float, default=0, help="time to think about a token")
    parser.add_argument("--jitter", type=float, default=0, help="sigma of a log-normal factor on that time")
    parser.add_argument("--seed", type=int, default=0, help="of the jitter")
    parser.add_argument("--limit-every", type=int, default=0, metavar="N", help="answer each N-th request with 429")
    parser.add_argument("--retry-after-ms", type=float, default=250, help="the patience that a 429 asks for")
    parser.add_argument("--first-token-ms", type=float, default=0, help="time to a chat answer's first token")
    parser.add_argument("--token-ms", type=float, default=0, help="time to each further one")
    parser.add_argument("--stop-with-stdin", action="store_true", help="stop when standard input ends")
    return parser


if __name__ == "__main__":
    main()
