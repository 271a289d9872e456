"""The layers hold."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "src/otel_embed"
CORE = tuple(f"otel_embed.{name}" for name in ("provider", "record", "run_record", "endpoints", "failure", "identity", "reading"))
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "record.py": (),
    "run_record.py": ("otel_embed.record",),
    "guard.py": (),
    "failure.py": ("otel_embed.record",),
    "identity.py": (),
    "reading.py": ("otel_embed.record",),
    "timeline.py": ("otel_embed.record",),
    "provider.py": ("otel_embed.record", "otel_embed.run_record", "opentelemetry.context"),
    "freezing.py": ("otel_embed.exchange", "otel_embed.headers", "otel_embed.observe", "otel_embed.provider", "otel_embed.record", "otel_embed.timeline"),
    "observe.py": ("otel_embed", "opentelemetry.context", "opentelemetry"),
    "runs.py": ("otel_embed", "opentelemetry.context", "opentelemetry"),
    "answers.py": ("otel_embed", "opentelemetry.context", "opentelemetry"),
    "providers": (*CORE, "otel_embed.providers"),
    "frameworks": (*CORE, "otel_embed.frameworks", "otel_embed.guard"),
    "transports": (*CORE, "otel_embed.transports", "otel_embed.observe", "otel_embed.exchange", "otel_embed.guard"),
    "pricing": (
        *CORE,
        "otel_embed.pricing",
        "otel_embed.config",
        "otel_embed.observe",
        "otel_embed.environment_variables",
        "otel_embed.guard",
    ),
}
LIBRARIES = (
    "openai",
    "google.genai",
    "ollama",
    "huggingface_hub",
    "dashscope",
    "litellm",
    "httpx",
    "httpx2",
    "langchain",
    "langchain_core",
    "langchain_openai",
    "requests",
    "urllib3",
    "aiohttp",
    "botocore",
    "aiobotocore",
    "rich",
    "click",
    "tiktoken",
    "haystack",
    "llama_index",
    "redis",
    "redisvl",
    "torch",
    "transformers",
    "sentence_transformers",
    "fastembed",
    "model2vec",
    "FlagEmbedding",
    "llama_cpp",
)


def imports(path: Path, top: bool = False) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if top else ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_a_layer_imports_only_what_is_below_it(layer: str) -> None:
    files = [ROOT / layer] if layer.endswith(".py") else sorted((ROOT / layer).rglob("*.py"))
    assert files
    for file in files:
        ours = [name for name in imports(file) if name.split(".")[0] in ("otel_embed", "opentelemetry")]
        assert not [name for name in ours if not name.startswith(MAY_IMPORT[layer] or ("nothing",))], file


def test_only_reports_know_opentelemetry() -> None:
    """All others know its context, which carries the open call, and nothing else."""
    knowing = {"cli", "gauges", "report", "instrumentor.py"}
    files = [file for file in ROOT.rglob("*.py") if file.relative_to(ROOT).parts[0] not in knowing]
    assert len(files) > 100
    theirs = {name for file in files for name in imports(file) if name.split(".")[0] == "opentelemetry"}
    assert theirs == {"opentelemetry", "opentelemetry.context"}
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        told = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "opentelemetry"]
        assert {alias.name for node in told for alias in node.names} <= {"context"}, file


def test_no_module_but_the_command_line_imports_a_library_at_its_top() -> None:
    for file in ROOT.rglob("*.py"):
        if "cli" not in file.parts:
            assert not [name for name in imports(file, top=True) if name.split(".")[0] in LIBRARIES], file


def test_instrumenting_imports_none_of_the_instrumented_libraries() -> None:
    program = f"import otel_embed, sys; otel_embed.instrument(); print([n for n in {LIBRARIES!r} if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]", found.stderr
