"""One span and one count per embedding call, also beside other instrumentations.

OpenTelemetry's GenAI instrumentations mark the context of an open embeddings span, and open none
inside a marked context: a call inside such a span adds to that span and leaves the convention's
metrics to it, and a span of ours carries the mark. OpenLLMetry stays silent where its key says so.
"""

from __future__ import annotations

import sys
from typing import Any

from opentelemetry.context import Context

_MARK = "opentelemetry.genai.client.embedding.context"
_MARKING_MODULE = "opentelemetry.util.genai._embedding_invocation"
_OPENLLMETRY = "suppress_language_model_instrumentation"


def is_covered(around: Context) -> bool:
    """True inside an embeddings span of another instrumentation."""
    return around.get(_MARK) is not None


def marks() -> dict[str, Any]:
    """What to put in the context of a call so that others know it is observed."""
    upstream = sys.modules.get(_MARKING_MODULE)
    data = getattr(upstream, "EmbeddingData", None)
    return {_OPENLLMETRY: True} if data is None else {_OPENLLMETRY: True, _MARK: data()}
