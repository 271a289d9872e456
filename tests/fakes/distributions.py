"""Installed distributions, made of text: a folder for PYTHONPATH with packages, versions and entry points."""

from __future__ import annotations

from pathlib import Path

PROVIDER = """
from otel_embed.provider import Call, Provider, Timed
from otel_embed.record import Request

def request(call):
    return Request("m", 1, "text", None, None, None, None, None)

PROVIDER = Provider(
    name="acme",
    requires="acme-embeddings>=2.0,<4",
    calls=(Call("acme.client:Client.embed", request), Call("acme.client:Client.aembed", request),
        Call("acme.legacy:embed", request, versions="<3")),
    timed=(Timed("acme.cut:tokenize", "tokenize"),),
)
"""
CLIENT = """
class Client:
    def embed(self, texts): return texts
    async def aembed(self, texts): return texts
"""
CUT = "def tokenize(text): return [text]\n"


def distribution(folder: Path, name: str, version: str, files: dict[str, str], entry_points: str = "") -> None:
    """Put a distribution into ``folder``: ``importlib.metadata`` and ``import`` find it as if pip had been there."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    information = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (information / "entry_points.txt").write_text(entry_points)


def acme(folder: Path, version: str = "3.1", **files: str | None) -> None:
    """A library with embeddings, which a third party's package teaches otel_embed.

    ``files`` replace its modules; with None there is no such module.
    """
    modules = {"__init__": "", "client": CLIENT, "cut": CUT, **files}
    distribution(
        folder,
        "acme-embeddings",
        version,
        {f"acme/{name}.py": text for name, text in modules.items() if text is not None},
    )
    entry_points = "[otel_embed_provider]\nacme = acme_for_otel_embed:PROVIDER\n"
    distribution(folder, "acme-for-otel-embed", "1.0", {"acme_for_otel_embed.py": PROVIDER}, entry_points)
