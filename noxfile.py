"""What ``make test`` runs: the suite on the newest libraries, and parts of it on their older lines."""

from __future__ import annotations

from pathlib import Path

import nox

# ``make lines`` runs the others: the older lines of each provider and framework, and the local models.
nox.options.sessions = ["lint", "tests", "openai_line", "langchain_line", "transport_line"]
CORE_LINES = {
    "oldest": [
        "click==8.1.0",
        "opentelemetry-api==1.30.0",
        "opentelemetry-distro==0.51b0",
        "opentelemetry-exporter-otlp==1.30.0",
        "opentelemetry-instrumentation==0.51b0",
        "opentelemetry-sdk==1.30.0",
        "packaging==23.2",
        "rich==13.7.0",
        "tiktoken==0.7.0",
        "wrapt==1.16.0",
    ],
    "wrapt 1": ["wrapt<2"],
}
"""What pyproject.toml promises to work with, at its least."""
CORE_TESTS = [f"tests/test_{name}.py" for name in (
    "openai", "httpx", "failure", "concurrency", "privacy", "zero_code", "config", "contract", "import_orders", "prices",
    "budgets", "cli", "report", "forks", "stage_spans",
)]  # fmt: skip
OPENAI_LINES = {
    "1.0.0": ["openai==1.0.0", "httpx==0.23.0; python_version<'3.13'", "httpx<0.28"],
    "1.3": ["openai==1.3.5", "httpx<0.28"],
    "1": ["openai[aiohttp]<2"],
    "2": ["openai[aiohttp]<3"],
}
OPENAI_TESTS = [f"tests/test_{name}.py" for name in ("openai", "compatible", "httpx", "failure", "openai_aiohttp")]
LANGCHAIN_LINES = {
    "0.3.0": ["langchain-core==0.3.0", "langchain==0.3.0", "langchain-openai==0.2.0", "openai<2"],
    "0.3": ["langchain-core<0.4", "langchain<0.4", "langchain-openai<0.4", "openai<3", "numpy"],
}
LANGCHAIN_TESTS = [f"tests/test_langchain{part}.py" for part in ("", "_failure", "_chat", "_cache", "_stores")]
HAYSTACK_LINES = {
    "2.0": ["haystack-ai==2.0.0", "openai<2"],
    "2": ["haystack-ai<3", "openai<3"],
}
LLAMA_INDEX_LINES = {
    "0.10.1": ["llama-index-core==0.10.1", "llama-index-embeddings-openai==0.1.1", "openai<2", "pydantic<2.12"],
    "0.12": ["llama-index-core<0.13", "llama-index-embeddings-openai<0.4", "openai<3", "pydantic<2.12"],
}
REDIS_TESTS = ["test_answer_caches", "test_redisvl", "test_redis_stores", "test_budget_redis", "test_celery"]
TRANSPORT_LINES = {
    "urllib3 1.26": [
        "requests==2.28.2",
        "urllib3<2",
        "aiohttp<3.9; python_version<'3.12'",
        "aiohttp<3.11; python_version>='3.12'",
        "aiobotocore==2.7.0",
        "botocore==1.31.64",
    ],
    "urllib3 2.0": ["requests==2.31.0", "urllib3<2.1", "aiohttp<3.11", "aiobotocore==2.13.0", "httpx-aiohttp"],
}
PROVIDER_LINES = {
    "google 1.0.0": ["google-genai==1.0.0"],
    "google 1": ["google-genai<2", "aiohttp"],
    "google 2": ["google-genai<3"],
    "ollama 0.3.0": ["ollama==0.3.0"],
    "ollama 0.4": ["ollama<0.5"],
    "huggingface 0.25": ["huggingface_hub<0.26", "aiohttp", "numpy"],
    "huggingface 0": ["huggingface_hub<1", "aiohttp", "numpy"],
    "huggingface 1": ["huggingface_hub<2", "numpy"],
    "dashscope 1.14.0": ["dashscope==1.14.0"],
    "dashscope 1": ["dashscope<2"],
    "litellm 1.53.1": ["litellm==1.53.1", "openai==1.55.3", "httpx<0.28", "boto3"],
    "litellm 1.81.0": ["litellm==1.81.0", "boto3"],
    "cohere 5.0.0": ["cohere==5.0.0"],
    "cohere 5.5": ["cohere==5.5.8"],
    "cohere 5.11": ["cohere==5.11.4"],
    "cohere 5": ["cohere<6"],
    "cohere 7": ["cohere>=7"],  # over httpx, which the asynchronous client leaves where it finds httpx-aiohttp
    "cohere_clouds 5.5": ["cohere==5.5.8", "boto3"],
    "cohere_clouds 5": ["cohere<6", "boto3"],
    "mistralai 1.0.0": ["mistralai==1.0.0"],
    "mistralai 1": ["mistralai<2"],
    "mistralai 2.0.0": ["mistralai==2.0.0"],
    "mistralai 2": ["mistralai<3"],
    "nomic 3.0.30": ["nomic==3.0.30"],
    "together 1.2.0": ["together==1.2.0"],
    "together 1.5": ["together<1.6"],
    "together 2.0.0": ["together==2.0.0"],
    "together 2": ["together<3"],
    "voyageai 0.1.7": ["voyageai==0.1.7", "pillow"],
    "voyageai 0.2": ["voyageai<0.3", "pillow"],
    "voyageai 0.3": ["voyageai<0.4"],
    "voyageai 0.4": ["voyageai<0.5"],
}
"""By the name of the test file and the line of the library."""
PROVIDER_WARNINGS = ["ignore:`json_encoders` is deprecated", "ignore:Support for class-based `config`"]
"""Of pydantic, about what cohere 5.11 and together 1.5 call."""

BEDROCK_LINES = {
    "botocore 1.31": ["boto3==1.28.57", "botocore==1.31.57", "urllib3<2"],
    "botocore": ["boto3"],  # the newest, which is ahead of what aiobotocore takes
    "aiobotocore 2.7": ["aiobotocore[boto3]==2.7.0"],
    "aiobotocore 2": ["aiobotocore[boto3,httpx]<3"],
}
BEDROCK_TESTS = ["tests/test_bedrock.py", "tests/test_bedrock_answers.py"]
TORCH = "torch==2.13.0"
"""Named, so that no build for CUDA is chosen for it, which is 4 GB larger."""
LOCAL_LINES = {
    "3.0.0": ["sentence-transformers==3.0.0", "transformers==4.44.2", "FlagEmbedding==1.3.5"],
    "5.0.0": ["sentence-transformers==5.0.0", "transformers<5", "FlagEmbedding<2"],
    "5": ["sentence-transformers<6", "fastembed==0.6.0", "model2vec==0.3.0", "jinja2", "onnx"],
}
LOCAL_TESTS = {
    "3.0.0": ["sentence_transformers", "transformers", "flag_embedding"],
    "5.0.0": ["sentence_transformers", "flag_embedding"],
    "5": ["sentence_transformers", "fastembed", "model2vec"],
}
ENGINES = ["ray>=2.40", "pyspark>=4"]


LANGCHAIN_NEEDS = ["langchain-tests", "blockbuster<1.6", "freezegun", "numpy", "pytest-asyncio", "pytest-cov", "pytest-mock"]
LANGCHAIN_NEEDS += ["pytest-retry", "pytest-socket", "pytest-watcher", "pytest-xdist", "responses", "syrupy"]
PARTNERS = {"aws": 1, "google-genai": 4, "huggingface": 1, "mistralai": 1, "ollama": 1, "openai": 1}
"""Integrations of LangChain with embedders of their own, and the major version of each that goes with LangChain 1."""
UPSTREAM = {
    "langchain-core": (
        ["langchain-core>=1", "langchain-tests", "freezegun", "pytest-mock", "syrupy", "pytest-asyncio", "grandalf"]
        + ["responses", "pytest-socket", "pytest-xdist", "blockbuster<1.6", "numpy", "pytest-benchmark", "pytest-codspeed"],
        [f"tests/unit_tests/{part}" for part in ("caches", "callbacks", "embeddings", "language_models", "runnables")]
        + [f"tests/unit_tests/{part}" for part in ("stores", "tracers", "vectorstores")],
        [],
    ),
    "openai": (
        ["openai[aiohttp]>=3", "pytest-asyncio>=1.4", "inline-snapshot>=0.28", "azure-identity", "botocore", "trio", "numpy"]
        + ["httpx", "rich"],
        [f"tests/test_{part}.py" for part in ("client", "response", "legacy_response", "streaming", "httpx2", "httpx_compat")]
        + [f"tests/lib/{part}.py" for part in ("test_embeddings", "test_embedding_request_context", "test_azure")]
        + ["tests/lib/chat/test_completions.py"],  # those of api_resources want a server of theirs
        ["--override-ini=addopts="],
    ),
    "httpx": (
        ["httpx[brotli,cli,http2,socks,zstd]<1", "chardet", "cryptography", "trio", "trustme", "uvicorn"],
        ["tests"],
        [],
    ),
    "requests": (
        ["requests[socks]>=2.32", "httpbin>=0.10", "pytest-httpbin>=2.1", "pytest-mock", "trustme"],
        ["tests"],
        [],
    ),
    "urllib3": (
        ["urllib3[brotli,socks,zstd]>=2", "anyio[trio]", "cryptography", "h2", "httpx", "hypercorn", "pyopenssl", "quart"]
        + ["quart-trio", "pytest-socket", "pytest-timeout", "trustme"],
        ["test"],
        # They time their own sockets to the hundredth of a second; want an address that swallows what is sent there.
        ["--deselect=test/with_dummyserver/test_socketlevel.py", "-k not blocked_per_thread"],
    ),
    "aiohttp": (
        ["aiohttp[speedups]>=3.10", "blockbuster", "freezegun", "isal", "proxy.py", "pytest-codspeed", "pytest-cov", "pytest-mock"]
        + ["pytest-timeout", "pytest-xdist", "python-on-whales", "re-assert", "trustme", "zlib-ng"],
        [f"tests/test_client_{part}.py" for part in ("connection", "exceptions", "functional", "middleware", "proto")]
        + [f"tests/test_client_{part}.py" for part in ("request", "response", "session")]
        + ["tests/test_connector.py", "tests/test_streams.py"],
        ["--override-ini=addopts="],
    ),
    "botocore": (["botocore", "boto3", "jsonschema", "pytest-xdist", "awscrt"], ["tests/unit"], []),
    "huggingface_hub": (
        ["huggingface_hub>=1", "fastapi", "numpy", "pillow", "pytest-asyncio", "pytest-cov", "pytest-env", "pytest-mock"]
        + ["pytest-rerunfailures", "pytest-vcr", "pytest-xdist", "soundfile"],
        [f"tests/test_inference_{part}.py" for part in ("providers", "text_generation", "types")],
        [],
    ),
    "langchain-classic": (
        ["langchain-classic>=1", "langchain-openai", *LANGCHAIN_NEEDS, "lark", "pandas", "cffi", "requests-mock", "toml"],
        ["tests/unit_tests"],
        ["--continue-on-collection-errors"],
    ),
    **{
        f"langchain-{partner}": (
            [f"langchain-{partner}>={oldest}", *LANGCHAIN_NEEDS, "langchain", "fakeredis", "moto"],
            ["tests/unit_tests"],
            ["--continue-on-collection-errors"],
        )
        for partner, oldest in PARTNERS.items()
    },
}
"""By library: what its own tests need, which of them run offline, and options of theirs."""
TRANSPORTS = ("httpx", "requests", "urllib3", "aiohttp", "botocore")
"""They observe nothing outside of a call, so that each of their tests is made one."""


def install(session: nox.Session, *extra: str) -> None:
    session.install("pip>=25.1")
    session.install(".", *extra)


def install_encoding(session: nox.Session) -> None:
    """The file with OpenAI's encoding, from a package that ships it; that package's own dependencies are not needed."""
    session.install("--no-deps", "llama-index-core")


@nox.session
def tests(session: nox.Session) -> None:
    install(session, *nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "test"))
    apart = [f"--ignore=tests/{part}" for part in ("e2e", "local", "engines")]
    session.run("pytest", *apart, *session.posargs)


@nox.session
def e2e(session: nox.Session) -> None:
    """Real servers; each test says which program it needs."""
    groups = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "test")
    install(session, *groups, "model2vec>=0.10")  # a local model for the dashboards that needs no torch
    others = {
        "TEST_AGENT": apart(session, "ddapm-test-agent", "ddapm-test-agent~=1.69"),
        "PHOENIX": phoenix(session),
    }
    left = [f"--ignore=tests/e2e/{name}.py" for name in (*REDIS_TESTS, "test_mlflow")]
    session.run("pytest", "tests/e2e", *left, *session.posargs, env=others)


@nox.session
def mlflow(session: nox.Session) -> None:
    """MLflow takes minutes to install and a minute to start, so this runs with ``make lines``."""
    groups = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "demo")
    install(session, *groups, "pytest", "trustme")
    others = {"MLFLOW": apart(session, "mlflow", "mlflow~=3.17.0")}
    session.run("pytest", "tests/e2e/test_mlflow.py", *session.posargs, env=others)


@nox.session
def redis(session: nox.Session) -> None:
    install(session, *nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "redis"))
    session.run("pytest", *[f"tests/e2e/{name}.py" for name in REDIS_TESTS], *session.posargs)


@nox.session
def redis_line(session: nox.Session) -> None:
    install(session, "redisvl==0.6.0", "redis<6", "langchain-core", "openai<3", "pytest", "trustme")
    session.run(
        "pytest", "-W", "ignore:get_async_redis_connection will become async", "tests/e2e/test_redisvl.py",
        *session.posargs,
    )  # fmt: skip


def phoenix(session: nox.Session) -> str:
    return apart(session, "phoenix", "arize-phoenix~=20.26")


def apart(session: nox.Session, program: str, package: str) -> str:
    """A program of tests/e2e, in an environment of its own: its dependencies are not ours."""
    programs = Path(session.virtualenv.location).with_name(program) / "bin"
    if not (programs / program).exists():
        session.run("python", "-m", "venv", str(programs.parent))
        session.run(str(programs / "pip"), "install", "--quiet", package, external=True)
    return str(programs / program)


@nox.session
@nox.parametrize("line", list(CORE_LINES))
def core_line(session: nox.Session, line: str) -> None:
    """OpenTelemetry and wrapt, and what else we need ourselves."""
    langchain = ["langchain-openai>=1", "langchain-classic>=1", "numpy"]  # an older client takes an older tiktoken
    client = "openai<3" if line == "oldest" else "openai>=3"
    install(session, *CORE_LINES[line], client, *langchain, "httpx", "hypothesis", "pytest", "trustme")
    session.run("pytest", *CORE_TESTS, *session.posargs)


@nox.session
@nox.parametrize("line", list(OPENAI_LINES))
def openai_line(session: nox.Session, line: str) -> None:
    install(session, *OPENAI_LINES[line], "pytest", "trustme")
    # httpx 0.23 imports a module of Python's that was deprecated with 3.11 and is gone with 3.13.
    session.run("pytest", "-W", "ignore:'cgi' is deprecated", *OPENAI_TESTS, *session.posargs)


@nox.session
@nox.parametrize("line", list(LANGCHAIN_LINES))
def langchain_line(session: nox.Session, line: str) -> None:
    others = ("cloudpickle", "opentelemetry-instrumentation-httpx>=0.51b0", "pytest", "trustme")
    install(session, *LANGCHAIN_LINES[line], *others)
    install_encoding(session)
    # langchain-core 0.3.0 and langchain-openai 0.2 call what pydantic has long called deprecated.
    old = ("-W", "ignore:The `dict` method is deprecated", "-W", "ignore:Accessing the 'model_fields' attribute")
    session.run("pytest", *old, *LANGCHAIN_TESTS, *session.posargs)


@nox.session
@nox.parametrize("line", list(LLAMA_INDEX_LINES))
def llama_index_line(session: nox.Session, line: str) -> None:
    install(session, *LLAMA_INDEX_LINES[line], "pytest", "trustme")
    session.run("pytest", "tests/test_llama_index.py", *session.posargs)


@nox.session
@nox.parametrize("line", list(HAYSTACK_LINES))
def haystack_line(session: nox.Session, line: str) -> None:
    install(session, *HAYSTACK_LINES[line], "pytest", "trustme")
    session.run("pytest", "tests/test_haystack.py", *session.posargs)


@nox.session
@nox.parametrize("line", list(TRANSPORT_LINES))
def transport_line(session: nox.Session, line: str) -> None:
    demo = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "demo")
    install(session, *demo, *TRANSPORT_LINES[line], "pytest", "trustme")
    session.run("pytest", "tests/test_transports.py", *session.posargs)


@nox.session
@nox.parametrize("line", list(PROVIDER_LINES))
def provider_line(session: nox.Session, line: str) -> None:
    install(session, *PROVIDER_LINES[line], "pytest", "trustme")
    ignored = [argument for warning in PROVIDER_WARNINGS for argument in ("-W", warning)]
    session.run("pytest", *ignored, f"tests/test_{line.split()[0]}.py", *session.posargs)


@nox.session
def local(session: nox.Session) -> None:
    """Local models, which need torch; FlagEmbedding asks for an older transformers and is tested with that line."""
    session.install(TORCH)
    install(session, *nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "local"))
    apart = [f"--ignore=tests/local/test_{name}.py" for name in ("flag_embedding", "llama_cpp")]
    session.run("pytest", "tests/local", *apart, *session.posargs, env={"HF_HUB_OFFLINE": "1"})


@nox.session
@nox.parametrize("line", list(LOCAL_LINES))
def local_line(session: nox.Session, line: str) -> None:
    """By the line of sentence-transformers."""
    session.install(TORCH)
    install(session, *LOCAL_LINES[line], "hypothesis", "pytest", "trustme")
    tests = [f"tests/local/test_{name}.py" for name in LOCAL_TESTS[line]]
    session.run("pytest", *tests, *session.posargs, env={"HF_HUB_OFFLINE": "1"})


@nox.session
def llama_cpp(session: nox.Session) -> None:
    """llama.cpp is built from source, with a compiler and cmake and for ten minutes, so this is not run by default."""
    install(session, "llama-cpp-python>=0.3,<0.4", "gguf", "hypothesis", "numpy", "pytest", "trustme")
    session.run("pytest", "tests/local/test_llama_cpp.py", *session.posargs)


@nox.session
def engines(session: nox.Session) -> None:
    """Ray and Spark in local mode; Spark needs Java: apt-get install --no-install-recommends default-jre-headless."""
    install(session, *ENGINES, "openai>=3", "grpcio", "pytest", "trustme")
    session.run("pytest", "tests/engines", *session.posargs)


@nox.session
def pictures(session: nox.Session) -> None:
    """Those of the documentation, taken again; needs the programs chromium and prometheus."""
    demo = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "demo")
    install(session, *demo, "opentelemetry-exporter-prometheus>=0.51b0", "pillow>=10", "pytest")
    session.run("python", "docs/pictures/take.py", *session.posargs, env={"PHOENIX": phoenix(session)})


@nox.session
@nox.parametrize("line", list(BEDROCK_LINES))
def bedrock_line(session: nox.Session, line: str) -> None:
    install(session, *BEDROCK_LINES[line], "hypothesis", "pytest", "trustme")
    session.run("pytest", *BEDROCK_TESTS, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    install(session, *nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "lint"))
    session.run("mypy")
    session.run("mypy", "tests/typed_program.py")  # sees the types of the wheel that is installed here
    session.run("ruff", "check")


@nox.session
def audit(session: nox.Session) -> None:
    """Known vulnerabilities of what is installed with us. It asks PyPI, and ends otherwise on another day, so CI does not."""
    install(session)
    found = session.run("python", "-m", "pip", "list", "--format=freeze", "--exclude", "otel-embed", "--exclude", "pip",
                        silent=True)  # fmt: skip
    asked = Path(session.create_tmp()) / "installed.txt"
    asked.write_text(str(found))
    session.install("pip-audit>=2.9")
    session.run("pip-audit", "--strict", "--no-deps", "--disable-pip", "--requirement", str(asked))


@nox.session
@nox.parametrize("library", list(UPSTREAM))
def upstream(session: nox.Session, library: str) -> None:
    """A library's own published tests end alike without otel_embed and with it."""
    needs, tests, options = UPSTREAM[library]
    install(session, *needs, "pytest")
    given = [f"--option={option}" for option in options]
    if library in TRANSPORTS:
        given.append("--inside-a-call")
    session.run("python", "tests/upstream/own_tests.py", library, *tests, *given)
