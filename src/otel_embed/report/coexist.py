"""One span and one count per embedding call, also beside other instrumentations.

OpenTelemetry's GenAI instrumentations mark the context of an open embeddings span, and open none
inside a marked context: a call inside such a span adds to that span and leaves the convention's
metrics to it, and a span of ours carries the mark. OpenLLMetry stays silent where its key says so.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from opentelemetry.context import Context

from otel_embed.observe import OpenCall

MARK = "opentelemetry.genai.client.embedding.context"
"""The key in the context of an embeddings span that another instrumentation opened."""
_MARKING_MODULE = "opentelemetry.util.genai._embedding_invocation"
_FOR_OPENLLMETRY = {"suppress_language_model_instrumentation": True}


def marks() -> dict[str, Any]:
    """What to put in the context of a call so that others know it is observed."""
    if _MARKING_MODULE not in sys.modules:
        return _FOR_OPENLLMETRY
    data = getattr(sys.modules[_MARKING_MODULE], "EmbeddingData", None)
    return _FOR_OPENLLMETRY if data is None else {**_FOR_OPENLLMETRY, MARK: _ours(data)()}


@cache
def _ours(data: type) -> type:
    return type("OurEmbeddingData", (data,), {"__module__": __name__})


def is_covered(call: OpenCall, around: Context) -> bool:
    """Whether it was another instrumentation of the same client that marked this context. A mark of ours may outlive
    a call that was thrown away."""
    outermost = call.parent is None or call.parent.component is not None
    return outermost and type(around[MARK]).__module__ != __name__


CHAT_MARK = "opentelemetry.genai.client.inference.context"
_CHAT_MARKING_MODULE = "opentelemetry.util.genai._inference_invocation"
_OTHERS = {
    "opentelemetry.instrumentation.genai.langchain": ("LangChainInstrumentor", True),
    "openinference.instrumentation.langchain": ("LangChainInstrumentor", False),
    "opentelemetry.instrumentation.langchain": ("LangchainInstrumentor", True),
    "amazon.opentelemetry.distro.instrumentation.langchain": ("LangChainInstrumentor", False),
}
"""Who else reports LangChain's chat models: module, class, and whether it has the convention's metrics too."""


def chat_marks() -> dict[str, Any]:
    """What to put in the context of a chat call, so that an instrumentation of its client does not report it again."""
    if _CHAT_MARKING_MODULE not in sys.modules:
        return _FOR_OPENLLMETRY
    data = getattr(sys.modules[_CHAT_MARKING_MODULE], "InferenceData", None)
    return _FOR_OPENLLMETRY if data is None else {**_FOR_OPENLLMETRY, CHAT_MARK: data()}


def others_on_langchain() -> tuple[bool, bool]:
    """Whether another instrumentation of LangChain makes spans; whether one has the convention's metrics."""
    on = [measures for module, (name, measures) in _OTHERS.items() if _is_on(sys.modules.get(module), name)]
    return bool(on), any(on)


def _is_on(module: Any, name: str) -> bool:
    instance = getattr(getattr(module, name, None), "_instance", None)
    return bool(getattr(instance, "_is_instrumented_by_opentelemetry", False))
