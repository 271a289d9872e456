"""Takes the pictures of this documentation again, each in a real browser and of a real run: ``make pictures``.

Needs the programs chromium and prometheus, and Phoenix in an environment of its own, whose path ``PHOENIX`` is.
``take.py NAME...`` takes some of them: ``report``, ``phoenix``, ``prometheus``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

from PIL import Image

HERE = Path(__file__).parent
ROOT, BIN = HERE.parent.parent, Path(sys.executable).parent
sys.path[:0] = [str(ROOT / "tests" / "e2e")]
import monitoring  # noqa: E402
from monitoring import eventually, program, prometheus  # noqa: E402
from receiver import free_ports  # noqa: E402

COLOURS, MOST_BYTES = 256, 150_000
SECONDS = 75
GRAPHS = {
    "sum by (gen_ai_request_model) (rate(otel_embed_cost_total[10s])) * 3600": False,
    "sum by (otel_embed_stage) (rate(otel_embed_stage_time_seconds_total[10s]))": True,
}
"""Whether each is stacked: dollars an hour by model, and where the time goes."""


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "OPENAI_", "PYTHON"))}
    return kept | more


def photograph(url: str, name: str, width: int, height: int) -> None:
    """A picture of a page as it stands once it has nothing left to load."""
    file = HERE / f"{name}.png"
    command = [
        program("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        f"--window-size={width},{height}", "--virtual-time-budget=30000", f"--screenshot={file}", url,
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    with Image.open(file) as taken:
        taken.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    assert file.stat().st_size <= MOST_BYTES, f"{file} has {file.stat().st_size:,} bytes"


def report(folder: Path) -> None:
    page = folder / "report.html"
    command = [BIN / "otel-embed", "run", "--no-report", "--html", page, "--", BIN / "python"]
    subprocess.run([*command, "examples/rag_ingest/app.py"], cwd=ROOT, env=environment(), check=True)
    photograph(page.as_uri(), "report", 1100, 1225)


def graph(folder: Path) -> None:
    (port,) = free_ports(1)
    exporters = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "prometheus"}
    env = environment(**exporters, OTEL_SERVICE_NAME="shop", OTEL_EXPORTER_PROMETHEUS_PORT=str(port))
    command = [BIN / "opentelemetry-instrument", BIN / "python", HERE / "service.py", str(SECONDS)]
    with prometheus(folder, port) as server, subprocess.Popen(command, env=env) as service:
        time.sleep(SECONDS - 5)
        asked: dict[str, str] = {}
        for n, (expression, stacked) in enumerate(GRAPHS.items()):
            asked |= {f"g{n}.expr": expression, f"g{n}.stacked": str(int(stacked)), f"g{n}.tab": "0"}
            asked |= {f"g{n}.range_input": "1m", f"g{n}.step_input": "1"}
        photograph(f"{server.url}/classic/graph?{urlencode(asked)}", "prometheus", 1000, 1640)
        service.terminate()


def phoenix(folder: Path) -> None:
    with monitoring.phoenix(folder) as origin:
        env = environment(
            OTEL_SERVICE_NAME="handbook", OTEL_METRICS_EXPORTER="none", OTEL_EMBED_SLOW_CALL_MS="40",
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf", OTEL_EXPORTER_OTLP_ENDPOINT=origin,
        )  # fmt: skip
        command = [BIN / "opentelemetry-instrument", BIN / "python", "examples/rag_chat/app.py"]
        subprocess.run(command, cwd=ROOT, env=env, check=True, stdout=subprocess.DEVNULL)
        found: list[dict[str, Any]] = []

        def arrived() -> bool:
            found[:] = spans(origin)
            return any(span["name"] == "invoke answer" for span in found)

        eventually(arrived, lambda: [span["name"] for span in found])
        (project,) = answer(f"{origin}/v1/projects")
        shown = chosen(found)
        place = f"projects/{project['id']}/traces/{shown['context']['trace_id']}"
        photograph(f"{origin}/{place}?selectedSpanNodeId={shown['id']}", "phoenix", 1300, 940)


def chosen(spans: list[dict[str, Any]]) -> dict[str, Any]:
    """An embedding call in a chain of which no cache knew the answer."""
    chats = {span["context"]["trace_id"] for span in spans if span["name"].startswith("chat ")}
    return next(
        span for span in spans if span["name"].startswith("embeddings ") and span["context"]["trace_id"] in chats
    )


def spans(origin: str) -> list[dict[str, Any]]:
    return answer(f"{origin}/v1/projects/default/spans?limit=1000")


def answer(url: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(url, timeout=10) as body:
        data: list[dict[str, Any]] = json.load(body)["data"]
    return data


PICTURES = {"report": report, "phoenix": phoenix, "prometheus": graph}


def main() -> None:
    for name in sys.argv[1:] or PICTURES:
        with TemporaryDirectory() as folder:
            PICTURES[name](Path(folder))
            print(HERE / f"{name}.png")


if __name__ == "__main__":
    main()
