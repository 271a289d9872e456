"""What ``make test`` runs: the suite on the newest libraries, and parts of it on their older lines."""

from __future__ import annotations

from pathlib import Path

import nox

nox.options.sessions = ["lint", "tests", "openai_line", "langchain_line", "transport_line", "local", "local_line"]
OPENAI_LINES = {
    "1.0.0": ["openai==1.0.0", "httpx==0.23.0; python_version<'3.13'", "httpx<0.28"],
    "1.3": ["openai==1.3.5", "httpx<0.28"],
    "1": ["openai[aiohttp]<2"],
    "2": ["openai[aiohttp]<3"],
}
OPENAI_TESTS = [f"tests/test_{name}.py" for name in ("openai", "httpx", "failure", "openai_aiohttp")]
LANGCHAIN_LINES = {
    "0.3.0": ["langchain-core==0.3.0", "langchain==0.3.0", "langchain-openai==0.2.0", "openai<2"],
    "0.3": ["langchain-core<0.4", "langchain<0.4", "langchain-openai<0.4", "openai<3"],
}
LANGCHAIN_TESTS = ["tests/test_langchain.py", "tests/test_langchain_failure.py"]
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


def install(session: nox.Session, *extra: str) -> None:
    session.install("pip>=25.1")
    session.install(".", *extra)


def install_encoding(session: nox.Session) -> None:
    """The file with OpenAI's encoding, from a package that ships it; that package's own dependencies are not needed."""
    session.install("--no-deps", "llama-index-core")


@nox.session
def tests(session: nox.Session) -> None:
    install(session, *nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "test"))
    install_encoding(session)
    session.run("pytest", "--ignore", "tests/e2e", "--ignore", "tests/local", *session.posargs)


@nox.session
def e2e(session: nox.Session) -> None:
    """Real servers; each test says which program it needs."""
    install(session, *nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "test"))
    session.run("pytest", "tests/e2e", *session.posargs, env={"TEST_AGENT": otlp_receiver(session)})


def otlp_receiver(session: nox.Session) -> str:
    """The OTLP receiver of tests/e2e, in an environment of its own: its dependencies are not ours."""
    programs = Path(session.virtualenv.location).with_name("test-agent") / "bin"
    if not (programs / "ddapm-test-agent").exists():
        session.run("python", "-m", "venv", str(programs.parent))
        session.run(str(programs / "pip"), "install", "--quiet", "ddapm-test-agent~=1.69", external=True)
    return str(programs / "ddapm-test-agent")


@nox.session
@nox.parametrize("line", list(OPENAI_LINES))
def openai_line(session: nox.Session, line: str) -> None:
    install(session, *OPENAI_LINES[line], "pytest", "trustme")
    # httpx 0.23 imports a module of Python's that was deprecated with 3.11 and is gone with 3.13.
    session.run("pytest", "-W", "ignore:'cgi' is deprecated", *OPENAI_TESTS, *session.posargs)


@nox.session
@nox.parametrize("line", list(LANGCHAIN_LINES))
def langchain_line(session: nox.Session, line: str) -> None:
    install(session, *LANGCHAIN_LINES[line], "cloudpickle", "pytest", "trustme")
    install_encoding(session)
    # langchain-openai 0.2 calls what pydantic has long called deprecated.
    session.run("pytest", "-W", "ignore:The `dict` method is deprecated", *LANGCHAIN_TESTS, *session.posargs)


@nox.session
@nox.parametrize("line", list(TRANSPORT_LINES))
def transport_line(session: nox.Session, line: str) -> None:
    demo = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "demo")
    install(session, *demo, *TRANSPORT_LINES[line], "pytest", "trustme")
    session.run("pytest", "tests/test_transports.py", *session.posargs)


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
def lint(session: nox.Session) -> None:
    install(session, *nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "lint"))
    session.run("mypy")
    session.run("ruff", "check", "src")
