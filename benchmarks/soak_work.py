"""What the soak makes a process do, without end."""

from __future__ import annotations

import importlib
import itertools
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from workload import MODEL, TEXT, Run, answer, http_module, in_process_transport, sync_run

import otel_embed

CALLS_OF_A_CLIENT = 10


def client(url: str = "https://api.openai.com/v1", **options: Any) -> Any:
    """An openai client whose HTTP client has ``options``."""
    http = http_module().Client(trust_env=False, **options)
    return importlib.import_module("openai").OpenAI(api_key="none", base_url=url, max_retries=0, http_client=http)


def in_process() -> Any:
    return client(transport=in_process_transport(http_module(), answer(1), asynchronous=False))


@contextmanager
def calls() -> Iterator[Run]:
    """The same call again and again."""
    yield sync_run(in_process(), 1)


@contextmanager
def names() -> Iterator[Run]:
    """No two calls of the same model, or for the same tenant."""
    number, openai = itertools.count(), in_process()

    def run(wanted: int) -> None:
        for n in itertools.islice(number, wanted):
            with otel_embed.attribute(tenant=f"tenant-{n}"):
                openai.embeddings.create(model=f"model-{n}", input=TEXT)

    yield run


@contextmanager
def reconnects() -> Iterator[Run]:
    """Each call looks the host's name up, connects and shakes hands anew; every tenth is the first of a new client."""
    with TemporaryDirectory() as folder, tls_server(Path(folder)) as (url, trusted):

        def run(wanted: int) -> None:
            for made in range(0, wanted, CALLS_OF_A_CLIENT):
                with client(url, verify=trusted) as openai:
                    for _ in range(min(CALLS_OF_A_CLIENT, wanted - made)):
                        openai.embeddings.create(model=MODEL, input=TEXT)

        yield run


@contextmanager
def tls_server(folder: Path) -> Iterator[tuple[str, ssl.SSLContext]]:
    """A server process that closes each connection after one answer; its URL, and whom to trust."""
    trustme = importlib.import_module("trustme")  # pip install trustme
    authority, trusted = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(trusted)
    certificate = folder / "certificate.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
    command = [sys.executable, str(Path(__file__).with_name("loopback.py")), "1", str(certificate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield f"https://localhost:{int(server.stdout.readline())}/v1", trusted
        finally:
            server.terminate()
