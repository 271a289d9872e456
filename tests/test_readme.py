"""What README.md and docs/ say can be done, is done."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from documents import PAGES, PRICES, README, ROOT, anchors, blocks, commands, outside_blocks
from fakes.openai_server import OpenAIServer
from otel_embed import environment_variables
from otel_embed.backends.naming import label
from otel_embed.backends.signals import SIGNALS
from otel_embed.cli import COMMANDS
from otel_embed.frameworks import FRAMEWORKS
from otel_embed.pricing.prices import inspect
from otel_embed.providers import PROVIDERS
from otel_embed.report import names

BIN = Path(sys.executable).parent
APP = """
from openai import OpenAI
with OpenAI(base_url={url!r}, api_key="x") as client:
    client.embeddings.create(model="text-embedding-3-small", input=["one two", "three"])
print("the program's own output")
"""


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PYTHON"))}
    return kept | {"PATH": f"{BIN}{os.pathsep}{kept['PATH']}"}


def test_our_commands_work_as_they_stand(server: OpenAIServer, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP.format(url=server.url))
    ours = [command for command in commands(README) if command.startswith("otel-embed ")]
    for command in ours:
        ran = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environment(), capture_output=True, text=True)
        assert ran.returncode == 0, (command, ran.stderr)
        if command.startswith("otel-embed run"):
            assert ran.stdout == "the program's own output\n"
            assert "text-embedding-3-small" in ran.stderr
    assert len(ours) > 1
    assert server.billed.requests == sum(command.startswith("otel-embed run") for command in ours)
    files = {option for command in ours for option in re.findall(r"--(?:json|html|svg) (\S+)", command)}
    assert files == {path.name for path in tmp_path.iterdir()} - {"app.py"}


def test_the_commands_about_prices_work_as_they_stand(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text("\n".join(blocks(PRICES, "toml")))
    for command in commands(PRICES):
        if " --max-age " in command:
            assert command == "otel-embed prices check --max-age 90", (
                "which depends on the day: see test_prices_command"
            )
        elif " fetch " in command:
            assert command.startswith("otel-embed tokens fetch --cache-dir "), "which needs a network: see test_tokens"
        else:
            subprocess.run(
                ["sh", "-c", command.replace(" check ", " check --max-age 9999 ")],
                cwd=tmp_path, env=environment(), capture_output=True, check=True,
            )  # fmt: skip


def test_the_commands_of_other_pages_work_as_they_stand(server: OpenAIServer, tmp_path: Path) -> None:
    """doctor finds fault, as nobody takes telemetry here; it need not import every library for that."""
    (tmp_path / "app.py").write_text(APP.format(url=server.url))
    texts = {name: (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in
             ("alerts", "dashboards", "doctor", "live", "thresholds")}  # fmt: skip
    (tmp_path / "thresholds.toml").write_text("".join(blocks(texts["thresholds"], "toml")))
    ours = [command for text in texts.values() for command in commands(text) if not command.startswith("export ")]
    assert len(ours) == 12
    others = (each.name for each in (*PROVIDERS, *FRAMEWORKS) if each.name != "openai")
    quick = environment() | {"OTEL_EMBED_DISABLED_PROVIDERS": ",".join(others)}
    for command in ours:
        env = quick if command.startswith("otel-embed doctor") else environment()
        ran = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=env, capture_output=True, text=True)
        assert ran.returncode == (1 if re.fullmatch(r"otel-embed doctor(?: --json)?", command) else 0), (command, ran.stderr)
        assert ran.stdout or ">" in command, command
    written = {command.rpartition("> ")[2] for command in ours if ">" in command} | {"grafana", "datadog"}
    assert written == {path.name for path in tmp_path.iterdir()} - {"app.py", "thresholds.toml"}
    assert all((tmp_path / name).stat().st_size for name in written)


def test_the_other_commands_are_run_elsewhere() -> None:
    """Those that make knows, those of tests/e2e, and what nox does to install this."""
    others = [command for command in commands(README) if not command.startswith("otel-embed ")]
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    rest = [command for command in others if command not in {f"make {target}" for target in targets}]
    assert rest.pop(0) == "pip install otel-embed"
    assert rest
    assert all(command.endswith("opentelemetry-instrument python app.py") for command in rest)


def test_the_block_in_code_works(server: OpenAIServer, tmp_path: Path) -> None:
    (block,) = blocks(README, "python")
    program = f"""
def index_documents():
    from openai import OpenAI
    with OpenAI(base_url={server.url!r}, api_key="x") as client:
        client.embeddings.create(model="text-embedding-3-small", input=["one two", "three"])

{block}"""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    tokens, cost, hits, seconds = ran.stdout.split()
    assert (int(tokens), int(hits)) == (server.billed.tokens, 0)
    assert float(cost) == pytest.approx(server.billed.tokens * 2e-8)
    assert 0 < float(seconds) < 10


def test_the_picture_is_small_and_self_contained_and_of_the_demo() -> None:
    (path,) = re.findall(r"!\[[^]]+\]\((docs/[^)]+\.svg)\)", README)
    image = (ROOT / path).read_text()
    assert len(image) < 60_000
    assert not re.search(r"url\(|@import|@font-face|href|<script", image)
    title = ElementTree.fromstring(image).findtext("{http://www.w3.org/2000/svg}title")
    assert title == "otel-embed: python examples/rag_ingest/app.py"


def test_every_setting_and_no_other_is_in_the_table() -> None:
    section = README.partition("\n## Settings\n")[2].partition("\n## ")[0]
    shown = {name for row in re.findall(r"^\| (.*?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    known = {name for name in vars(environment_variables) if name.startswith("OTEL_")}
    assert shown == known - {environment_variables.OTEL_EMBED_REPORT_DIR}, "that one the command line sets"


def test_every_command_is_in_the_table() -> None:
    section = README.partition("\n## Commands\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `otel-embed ([\w-]+)", section, re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?://)([^)]+)\)", outside_blocks(page.read_text(encoding="utf-8"))):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


def test_links_are_found() -> None:
    assert anchors("# A `b` c\n```\n# no\n```\n## Jobs, that-run\n") == {"a-b-c", "jobs-that-run"}
    found = [link for page in PAGES for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8"))]
    assert len(PAGES) > 50 and len(found) > 100 and any("#" in link for link in found)


def test_what_the_pages_of_libraries_show_is_valid(tmp_path: Path) -> None:
    shown = [page.read_text(encoding="utf-8") for page in PAGES if page.parent.name in ("frameworks", "providers")]
    prices = [block for text in shown for block in blocks(text, "toml")]
    declared = [block for text in shown for block in blocks(text, "python")]
    assert prices and declared
    for block in prices:
        (tmp_path / "prices.toml").write_text(block)
        assert inspect(str(tmp_path / "prices.toml")) == (block.count("[[price]]"), [])
    for block in declared:
        space: dict[str, Any] = {}
        exec(block, space)
        assert space["PROVIDER"].calls


def test_the_provider_that_contributing_shows_is_the_one_there_is() -> None:
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
    assert shown == [(ROOT / "src/otel_embed/providers/together.py").read_text(encoding="utf-8")]


def test_the_test_of_each_promise_is_there() -> None:
    promised = re.findall(r"`((?:tests|benchmarks)/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs/guarantees.md").read_text())
    assert len(promised) > 20
    for file, name in promised:
        assert not name or re.search(rf"def {name}\b", (ROOT / file).read_text()), (file, name)
        assert (ROOT / file).exists(), file


def test_the_reference_has_every_metric_and_attribute_of_today() -> None:
    path = ROOT / "docs" / "telemetry.py"
    space = runpy.run_path(str(path))
    page = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")
    assert space["written"](page) == page, "run `python docs/telemetry.py`"
    told = set(re.findall(r"`([\w.]+\.[\w.]+)`", page))
    constants = [value for constant, value in vars(names).items() if constant.isupper() and isinstance(value, str)]
    known = {name for name in constants if "." in name and not name.endswith(".")}
    assert known - told == set(), "an attribute that the page does not have"
    emitted = known | {signal.name for signal in SIGNALS}
    ours = {name for name in told if name.startswith(("otel_embed.", "gen_ai.")) and name != "otel_embed.attribute"}
    assert ours - emitted == set(), "a name on the page that nothing has"


def test_every_series_that_a_page_names_is_one_that_there_is() -> None:
    """By the names that the reference has of them."""
    written = re.compile(r"\b(?:otel_embed|gen_ai)_\w+")
    there = set(written.findall((ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")))
    histograms = {name.removesuffix("_count") for name in there if name.endswith("_count")}
    there |= histograms | {f"{name}_{part}" for name in histograms for part in ("bucket", "sum")}
    labels = {label(value) for value in vars(names).values() if isinstance(value, str)}
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "collector-config").rglob("*.md")]
    said = {name for page in pages for name in written.findall(page.read_text(encoding="utf-8"))}
    assert len(said) > 40
    assert said - there - labels == {"otel_embed_provider"}, "that one is the group of entry points"
