"""Whenever, wherever from and however often a library is imported, and otel_embed switched on and off."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fakes.distributions import acme, distribution
from fakes.openai_server import OpenAIServer

COMMON = """
import asyncio, importlib, logging, os, pathlib, sys
logging.basicConfig(format="%(message)s", level="WARNING")
import otel_embed
URL = os.environ["TEST_URL"]
def seen():
    print(otel_embed.summary().calls)
def embed():
    import openai
    with openai.OpenAI(base_url=URL, api_key="x") as it:
        it.embeddings.create(model="text-embedding-3-small", input="one two", dimensions=4)
"""


class Programs:
    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.environ = {**os.environ, "PYTHONPATH": str(folder), "TEST_URL": url}

    def run(self, source: str) -> tuple[list[str], str]:
        """What a program prints, as lines, and what is logged."""
        command = [sys.executable, "-W", "error", "-c", COMMON + source]
        ran = subprocess.run(command, env=self.environ, cwd=self.folder, capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.splitlines(), ran.stderr


@pytest.fixture
def programs(tmp_path: Path, server: OpenAIServer) -> Programs:
    return Programs(tmp_path, server.url)


CALL = "import acme.client; assert acme.client.Client().embed(['a']) == ['a']\n"
ON = "otel_embed.instrument()\n"


class TestOrder:
    def test_openai_before_and_after_us(self, programs: Programs, server: OpenAIServer) -> None:
        assert programs.run(f"import openai.resources.embeddings\n{ON}embed()\nseen()") == (["1"], "")
        assert programs.run(f"{ON}assert 'openai' not in sys.modules\nembed()\nseen()") == (["1"], "")
        assert server.billed.requests == 2

    def test_what_is_observed_before_there_is_an_sdk_and_after_is_told_by_it(self, programs: Programs) -> None:
        sdk = (
            "from opentelemetry import metrics\n"
            "from opentelemetry.sdk.metrics import MeterProvider\n"
            "from opentelemetry.sdk.metrics.export import InMemoryMetricReader\n"
            "reader = InMemoryMetricReader()\n"
            "metrics.set_meter_provider(MeterProvider(metric_readers=[reader], shutdown_on_exit=False))\n"
        )
        told = (
            "(scope,) = [each for each in reader.get_metrics_data().resource_metrics[0].scope_metrics"
            " if each.scope.name == 'otel_embed']\n"
            "points = {metric.name: metric.data.data_points[0] for metric in scope.metrics}\n"
            "print(points['gen_ai.client.embeddings.duration'].count, points['otel_embed.inputs'].value)\n"
        )
        counted = "from otel_embed.instrumentor import EmbeddingInstrumentor\nEmbeddingInstrumentor().recorder.settle()\n"
        assert programs.run(f"{ON}embed()\n{counted}{sdk}embed()\n{told}")[0] == ["1 2"], "one was counted before"
        assert programs.run(f"{ON}embed()\n{sdk}embed()\n{told}")[0] == ["2 2"]

    @pytest.mark.parametrize("first", ["", "meter_provider=metrics.get_meter_provider()"])
    @pytest.mark.parametrize("then", ["", "meter_provider=meters", "meter_provider=metrics.get_meter_provider()"])
    def test_what_is_switched_off_and_on_again_goes_on_though_an_sdk_came_in_between(
        self, programs: Programs, first: str, then: str
    ) -> None:
        """The global meters are the same ones before and after, and so are those that become the global ones later."""
        before = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
reader = InMemoryMetricReader()
meters = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
"""
        after = """
(scope,) = [each for each in reader.get_metrics_data().resource_metrics[0].scope_metrics if each.scope.name == "otel_embed"]
points = {metric.name: metric.data.data_points for metric in scope.metrics}
assert len(points) == len(scope.metrics)
(inputs,), (durations,) = points["otel_embed.inputs"], points["gen_ai.client.embeddings.duration"]
print(inputs.value, durations.count)
"""
        on, again, off = f"otel_embed.instrument({first})\n", f"otel_embed.instrument({then})\n", "otel_embed.uninstrument()\n"
        sdk = "metrics.set_meter_provider(meters)\n"
        assert programs.run(f"{before}{on}{sdk}embed()\n{off}{again}embed()\nembed()\n{after}") == (["3 3"], "")
        own = f"otel_embed.instrument(meter_provider=meters)\nembed()\n{off}{sdk}{again}embed()\n"
        assert programs.run(before + own + after) == (["2 2"], "")

    def test_a_function_that_was_imported_before_us_is_the_class_s_own_and_is_seen(self, programs: Programs) -> None:
        acme(programs.folder)
        made = "from acme.client import Client\nit = Client()\n"
        out, _ = programs.run(f"{made}{ON}it.embed(['a']); it.embed(['b'])\nseen()")
        assert out == ["2"]

    def test_a_bound_method_that_was_taken_before_us_goes_on_unseen(self, programs: Programs) -> None:
        acme(programs.folder)
        taken = "from acme.client import Client\nembed = Client().embed\n"
        assert programs.run(f"{taken}{ON}assert embed(['a']) == ['a']\nseen()") == (["0"], "")

    def test_a_module_that_is_reloaded_is_seen_anew_and_once(self, programs: Programs) -> None:
        acme(programs.folder)
        again = f"importlib.reload(acme.client)\n{CALL}seen()\n"
        off = f"otel_embed.uninstrument()\nassert 'around' not in repr(acme.client.Client.embed)\n{CALL}seen()\n"
        assert programs.run(ON + CALL + again * 2 + off + again)[0] == ["2", "3", "3", "3"]

    def test_a_reload_that_fails_fails_as_it_would(self, programs: Programs) -> None:
        acme(programs.folder)
        out, log = programs.run(f"""{ON}{CALL}
file = pathlib.Path(acme.client.__file__)
whole = file.read_text()
file.write_text("raise KeyError('theirs')  # " + "x" * 99)
try:
    importlib.reload(acme.client)
except KeyError as error:
    print(error)
file.write_text(whole)
importlib.reload(acme.client)
{CALL}seen()""")
        assert (out, log) == (["'theirs'", "2"], "")

    def test_a_module_that_is_removed_and_imported_again_is_seen(self, programs: Programs) -> None:
        acme(programs.folder)
        again = f"del sys.modules['acme.client'], sys.modules['acme']\n{CALL}seen()\n"
        assert programs.run(ON + CALL + again * 2)[0] == ["2", "3"]

    def test_openai_is_reloaded(self, programs: Programs, server: OpenAIServer) -> None:
        again = "import openai.resources.embeddings as e\nimportlib.reload(e)\nembed()\nseen()\n"
        assert programs.run(f"{ON}embed()\n{again}") == (["2"], "")
        assert server.billed.requests == 2

    def test_otel_embed_itself_is_reloaded(self, programs: Programs) -> None:
        acme(programs.folder)
        assert programs.run(f"{ON}{CALL}importlib.reload(otel_embed)\n{ON}{CALL}seen()")[0] == ["2"]


class TestOnAndOff:
    @pytest.mark.parametrize("where", ["before", "after"])
    def test_in_any_order_and_number(self, programs: Programs, where: str) -> None:
        """Every sequence of four: a call is seen while it is on, once, and off is the original itself."""
        acme(programs.folder)
        steps = list(itertools.product("+-", repeat=4))
        out, log = programs.run(f"""
{"import acme.client" if where == "before" else ""}
import acme.client
original = vars(acme.client.Client)["embed"]
if {where == "after"}:
    del sys.modules["acme.client"], acme.client
otel_embed.instrument()
otel_embed.uninstrument()
for steps in {steps!r}:
    for step in steps:
        otel_embed.instrument() if step == "+" else otel_embed.uninstrument()
        before = otel_embed.summary().calls
        import acme.client
        acme.client.Client().embed(["a"])
        assert otel_embed.summary().calls - before == (step == "+"), steps
    otel_embed.uninstrument()
    function = vars(acme.client.Client)["embed"]
    assert not hasattr(function, "__otel_embed__") and not hasattr(function, "__wrapped__")
    assert {where == "after"} or function is original
""")
        assert out == []
        assert set(log.splitlines()) <= {"Attempting to instrument while already instrumented",
                                         "Attempting to uninstrument while already uninstrumented"}  # fmt: skip

    @pytest.mark.parametrize("order", ["ours theirs", "theirs ours"])
    @pytest.mark.parametrize("off", ["ours theirs", "theirs ours"])
    def test_beside_another_that_wraps_the_same_function(self, programs: Programs, order: str, off: str) -> None:
        acme(programs.folder)
        actions = {
            "+ours": "otel_embed.instrument()",
            "-ours": "otel_embed.uninstrument()",
            "+theirs": "wrapt.wrap_function_wrapper('acme.client', 'Client.embed', wrapper)",
            "-theirs": "unwrap(acme.client.Client, 'embed')",
        }
        lines = [actions[f"+{who}"] for who in order.split()] + ["call()"]
        for who in off.split():
            lines += [actions[f"-{who}"], "call()"]
        out, _ = programs.run("""
import acme.client, wrapt
from opentelemetry.instrumentation.utils import unwrap
theirs = 0
def wrapper(wrapped, instance, args, kwargs):
    global theirs
    theirs += 1
    return wrapped(*args, **kwargs)
def call():
    assert acme.client.Client().embed(["a"]) == ["a"]
    print(otel_embed.summary().calls, theirs)
""" + "\n".join(lines))
        assert out[0] == "1 1"
        # Whoever is not outermost may be left behind in the other's wrapper, ours without effect.
        ours_last = off == "theirs ours"
        assert out[1].split()[0] == ("2" if ours_last else "1")
        assert out[2].split()[0] == out[1].split()[0], "what is off sees nothing"


class TestInstallation:
    def test_missing(self, programs: Programs) -> None:
        programs.folder.joinpath("hide.py").write_text("import sys\nsys.modules['openai'] = None\n")
        tried = "try:\n    import openai\nexcept ImportError:\n    print('missing')\n"
        out, log = programs.run(f"import hide\n{ON}{tried}seen()")
        assert (out, log) == (["missing", "0"], "")

    @pytest.mark.parametrize("text", ["embeddings = [1]\n", "class OpenAI:\n    pass\n", ""])
    def test_shadowed_by_a_module_of_the_application(self, programs: Programs, text: str) -> None:
        (programs.folder / "openai.py").write_text(text)
        (programs.folder / "httpx.py").write_text("def get(url): return url\n")
        out, log = programs.run(f"{ON}import httpx, openai\nprint(openai.__file__, httpx.get('u'))\nseen()")
        assert out == [f"{programs.folder / 'openai.py'} u", "0"]
        assert "Traceback" not in log and "failed to" not in log

    def test_shadowed_down_to_the_name_of_a_class(self, programs: Programs) -> None:
        """The application's own ``openai.resources.embeddings`` works as it did, whatever is made of it."""
        package = programs.folder / "openai" / "resources"
        package.mkdir(parents=True)
        (package.parent / "__init__.py").write_text("")
        (package / "__init__.py").write_text("")
        (package / "embeddings.py").write_text("class Embeddings:\n    create = 5\n    def other(self): return 7\n")
        out, log = programs.run(
            f"{ON}from openai.resources.embeddings import Embeddings\nprint(Embeddings.create, Embeddings().other())"
        )
        assert out == ["5 7"]
        assert "Traceback" not in log

    def test_partially_installed(self, programs: Programs) -> None:
        acme(programs.folder, client="import a_dependency_that_is_missing\n", cut=None)
        tried = "    try:\n        import acme.client\n    except ImportError as error:\n        print(error)\n"
        out, log = programs.run(f"{ON}for _ in 'ab':\n{tried}")
        assert out == ["No module named 'a_dependency_that_is_missing'"] * 2
        assert log == ""

    def test_repaired_while_the_process_runs(self, programs: Programs) -> None:
        acme(programs.folder, client="import late\nclass Client:\n    def embed(self, texts): return texts\n"
                                     "    async def aembed(self, texts): return texts\n")  # fmt: skip
        out, _ = programs.run(f"""{ON}
try:
    import acme.client
except ImportError:
    print("not yet")
sys.modules["late"] = sys
{CALL}seen()""")
        assert out == ["not yet", "1"]

    def test_too_old_is_left_alone_and_said(self, programs: Programs) -> None:
        acme(programs.folder, "1.9")
        out, log = programs.run(f"{ON}{CALL}seen()")
        assert out == ["0"]
        assert log.splitlines() == [
            "otel_embed does not observe acme: acme-embeddings 1.9 is older than 2.0, the oldest that is supported"
        ]

    def test_newer_than_known_is_seen_and_said(self, programs: Programs) -> None:
        acme(programs.folder, "17.0rc1")
        out, log = programs.run(f"{ON}{CALL}seen()")
        assert out == ["1"]
        assert log.splitlines() == ["otel_embed was not tested with acme-embeddings 17.0rc1, only with >=2.0,<4"]

    def test_an_openai_that_is_newer_than_known(self, programs: Programs, server: OpenAIServer) -> None:
        distribution(programs.folder, "openai", "99.0", {})
        out, log = programs.run(f"{ON}embed()\nseen()")
        assert out == ["1"] and server.billed.requests == 1
        assert "was not tested with openai 99.0" in log

    @pytest.mark.parametrize("version", ["unknown", "", "2024.x-custom"])
    def test_a_version_that_is_none(self, programs: Programs, version: str) -> None:
        acme(programs.folder, version)
        out, log = programs.run(f"{ON}{CALL}seen()")
        assert out == ["1"]
        assert "Traceback" not in log


class TestThirdParties:
    def test_the_package_in_the_docs(self, programs: Programs) -> None:
        page = (Path(__file__).parents[1] / "docs" / "own_library.md").read_text(encoding="utf-8")
        told, module = re.findall(r"```(?:toml|python)\n(.*?)```", page, re.DOTALL)
        assert '[project.entry-points.otel_embed_provider]\nacme = "acme_for_otel_embed:PROVIDER"' in told
        client = "class Client:\n    def embed(self, texts, model='m'): return {'vectors': [[0.5]] * 2, 'tokens': 7}\n"
        distribution(programs.folder, "acme-embeddings", "2.1", {"acme/__init__.py": "", "acme/client.py": client})
        entry_points = "[otel_embed_provider]\nacme = acme_for_otel_embed:PROVIDER\n"
        distribution(programs.folder, "acme-for-otel-embed", "1.0", {"acme_for_otel_embed.py": module}, entry_points)
        ran = f"""{ON}assert "acme" not in sys.modules
from acme.client import Client
Client().embed(["a", "b"], model="large")
print(otel_embed.summary().inputs, otel_embed.summary().tokens, otel_embed.summary().document["providers"][0]["model"])
"""
        assert programs.run(ran) == (["2 7 large"], "")

    def test_two_entry_points_of_one_name_and_one_function_count_once(self, programs: Programs) -> None:
        acme(programs.folder)
        files = {"acme_again.py": "from acme_for_otel_embed import PROVIDER\n"}
        entry_points = "[otel_embed_provider]\nacme = acme_again:PROVIDER\n"
        distribution(programs.folder, "acme-again", "1.0", files, entry_points)
        out, log = programs.run(f"{ON}{CALL}seen()\notel_embed.uninstrument()\n{CALL}seen()")
        assert (out, log) == (["1", "1"], "")

    def test_two_of_one_name_for_two_libraries_are_both_seen(self, programs: Programs) -> None:
        acme(programs.folder)
        source = Path(programs.folder, "acme_for_otel_embed.py").read_text()
        files = {
            "other_for_otel_embed.py": source.replace("acme.", "other.").replace("acme-embeddings", "other-embeddings"),
            "other/__init__.py": "",
            "other/client.py": Path(programs.folder, "acme/client.py").read_text(),
        }
        entry_points = "[otel_embed_provider]\nacme = other_for_otel_embed:PROVIDER\n"
        distribution(programs.folder, "other-embeddings", "3.0", files, entry_points)
        assert programs.run(f"{ON}{CALL}{CALL.replace('acme', 'other')}seen()") == (["2"], "")

    @pytest.mark.parametrize("text", ["raise ValueError('rude')", "PROVIDER = 5", "import nothing_of_that_name", ""])
    def test_one_that_is_broken_takes_none_of_the_others_along(self, programs: Programs, text: str) -> None:
        acme(programs.folder)
        entry_points = "[otel_embed_provider]\nacme = aaa_broken:PROVIDER\n"
        distribution(programs.folder, "aaa-broken", "1.0", {"aaa_broken.py": text}, entry_points)
        out, log = programs.run(f"{ON}{CALL}seen()")
        assert out == ["1"]
        assert log.count("otel_embed failed to load the provider acme") == 1
