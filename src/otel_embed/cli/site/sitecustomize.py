# Runs at the start of every Python process below `otel-embed run`, in whatever interpreter that is:
# no syntax newer than Python 3.0, and only the standard library until otel_embed is known to be there.
import os
import sys
from importlib import import_module

_here = os.path.dirname(os.path.abspath(__file__))
_others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path != _here]

sys.path[:] = [path for path in sys.path if path != _here]
sys.modules.pop("sitecustomize", None)

_missing = ""
try:
    # Otherwise a Python started while OpenTelemetry starts would do the same, and so on.
    os.environ["PYTHONPATH"] = os.pathsep.join(_others)
    import_module("otel_embed")
    import_module("opentelemetry.instrumentation.auto_instrumentation.sitecustomize")
except ImportError as error:
    _missing = getattr(error, "name", None) or "otel_embed"
finally:
    os.environ["PYTHONPATH"] = os.pathsep.join([_here, *_others])

try:
    _note = os.path.join(os.environ["OTEL_EMBED_REPORT_DIR"], str(os.getpid()) + ".python")
    with open(_note, "w") as _file:
        _file.write("\n".join((str(sys.executable), sys.version.split()[0], _missing)))
except (KeyError, OSError):
    pass

# The one that ours hides. Where there is none, this raises the ImportError that site.py expects.
import_module("sitecustomize")
