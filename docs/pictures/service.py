"""A program that knows nothing of telemetry: it indexes and answers for a while, in waves, as the pictures need it."""

from __future__ import annotations

import math
import sys
import threading
import time

import openai

from otel_embed.demo import bundled_server

SERVER = "--latency-ms=30", "--per-token-us=40", "--jitter=0.4", "--limit-every=40", "--retry-after-ms=400"
PAGE = "The label for a return is in the box, and a parcel may be returned within thirty days of its arrival. "


def keep_asking(client: openai.OpenAI, model: str, texts: int, pause: float, until: float) -> None:
    while (now := time.monotonic()) < until:
        client.embeddings.create(model=model, input=[PAGE] * texts)
        time.sleep(pause * (1.2 + math.sin(now / 4)))


def main() -> None:
    until = time.monotonic() + float(sys.argv[1])
    with bundled_server(*SERVER) as url, openai.OpenAI(base_url=url, api_key="none-needed", max_retries=5) as client:
        kinds = [("text-embedding-3-small", 1, 0.05), ("text-embedding-3-small", 16, 0.3), ("text-embedding-3-large", 8, 0.2)]
        threads = [threading.Thread(target=keep_asking, args=(client, *kind, until)) for kind in kinds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
