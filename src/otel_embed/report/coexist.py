"""One span and one count per embedding call, also beside other instrumentations.

OpenTelemetry's GenAI instrumentations mark the context of an open embeddings span, and open none
inside a marked context: a call inside such a span adds to that span and leaves the convention's
metrics to it, and a span of ours carries the mark. OpenLLMetry stays silent where its key says so.
"""

from __future__ import annotations

import sys
from typing import Any

MARK = "opentelemetry.genai.client.embedding.context"
"""The key in the context of an embeddings span that another instrumentation opened."""
_MARKING_MODULE = "opentelemetry.util.genai._embedding_invocation"
_FOR_OPENLLMETRY = {"suppress_language_model_instrumentation": True}


def marks() -> dict[str, Any]:
    """What to put in the context of a call so that others know it is observed."""
    if _MARKING_MODULE not in sys.modules:
        return _FOR_OPENLLMETRY
    data = getattr(sys.modules[_MARKING_MODULE], "EmbeddingData", None)
    return _FOR_OPENLLMETRY if data is None else {**_FOR_OPENLLMETRY, MARK: data()}
