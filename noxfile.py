"""What ``make test`` runs: the suite on the newest libraries, and the openai tests on its older lines."""

from __future__ import annotations

import nox

nox.options.sessions = ["lint", "tests", "openai_line"]
OLDER_LINES = {"1.0": ["openai==1.3.5", "httpx<0.28"], "1": ["openai<2"], "2": ["openai<3"]}


def install(session: nox.Session, *extra: str) -> None:
    session.install("pip>=25.1")
    session.install(".", *extra)


@nox.session
def tests(session: nox.Session) -> None:
    install(session, *nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "test"))
    # For the file with OpenAI's encoding that it ships; its own dependencies are not needed for that.
    session.install("--no-deps", "llama-index-core")
    session.run("pytest", "--ignore", "tests/e2e", *session.posargs)


@nox.session
def e2e(session: nox.Session) -> None:
    """Real servers; each test says which program it needs."""
    install(session, *nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "test"))
    session.run("pytest", "tests/e2e", *session.posargs)


@nox.session
@nox.parametrize("line", list(OLDER_LINES))
def openai_line(session: nox.Session, line: str) -> None:
    install(session, *OLDER_LINES[line], "pytest", "trustme")
    session.run("pytest", "tests/test_openai.py", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    install(session, *nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "lint"))
    session.run("mypy")
    session.run("ruff", "check", "src")
