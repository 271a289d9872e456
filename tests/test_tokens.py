"""Tokens: real tiktoken over a small encoding of our own, served from this machine, and once over OpenAI's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import tiktoken
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiktoken.load import load_tiktoken_bpe
from tiktoken_ext import openai_public

from otel_embed import guard
from otel_embed.cli import main
from otel_embed.pricing.tokens import Calibration, Mode, TokenCounter, locate, prefetch
from otel_embed.record import Usage

MODEL = "text-embedding-3-small"
BYTES = [bytes([value]) for value in range(256)]
FILE = b"\n".join(
    b64encode(token) + b" %d" % rank
    for rank, token in enumerate([*BYTES, b"th", b"he", b"the", b" the", b"er", b"other"])
)
TEXT = "the other there, 漢字 and <|endoftext|>"


class FileServer(ThreadingHTTPServer):
    """Serves the encoding's file, as OpenAI's storage does tiktoken's, and counts who asks."""

    daemon_threads = True

    def __init__(self) -> None:
        self.content = FILE
        self.delay = 0.0
        self.asked = 0
        super().__init__(("127.0.0.1", 0), FileHandler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/encodings/cl100k_base.tiktoken"


class FileHandler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        for position in range(0, len(self.server.content), 500):
            time.sleep(self.server.delay)
            try:
                self.wfile.write(self.server.content[position : position + 500])
            except OSError:  # the client has had enough
                return

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FileServer]:
    """tiktoken with an encoding whose file is 2 kB, an empty cache, and a server that has the file."""
    with FileServer() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        url, checksum = server.url, sha256(FILE).hexdigest()

        def cl100k_base() -> dict[str, Any]:
            ranks = load_tiktoken_bpe(url, expected_hash=checksum)
            special = {"<|endoftext|>": len(ranks)}
            return {"name": "tiny", "pat_str": r"\S+|\s+", "mergeable_ranks": ranks, "special_tokens": special}

        monkeypatch.setitem(openai_public.ENCODING_CONSTRUCTORS, "cl100k_base", cl100k_base)
        monkeypatch.setattr(tiktoken, "__version__", "0.13.0", raising=False)  # that is quick with any text
        monkeypatch.setattr(tiktoken.registry, "ENCODING_CONSTRUCTORS", {"cl100k_base": cl100k_base})
        monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {})
        monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "cache"))
        monkeypatch.delenv("DATA_GYM_CACHE_DIR", raising=False)
        monkeypatch.setattr(guard, "reraise", True)
        yield server
        server.shutdown()


@pytest.fixture
def cached(storage: FileServer, tmp_path: Path) -> Path:
    """The file, where tiktoken keeps it."""
    path = tmp_path / "cache" / sha1(storage.url.encode()).hexdigest()
    path.parent.mkdir()
    path.write_bytes(FILE)
    return path


def expected(text: str) -> int:
    """What tiktoken itself says."""
    return len(tiktoken.get_encoding("cl100k_base").encode(text, disallowed_special=()))


def settled(counter: TokenCounter, text: Any = TEXT, model: str = MODEL) -> Usage | None:
    """The count once no thread of ours is at work any more."""
    counter.count(model, "x", "text")
    for thread in threading.enumerate():
        if thread.name == "otel-embed-tokens":
            thread.join(10)
    return counter.count(model, text, "text")


# Without an encoding


@pytest.mark.parametrize("mode", ["auto", "tiktoken", "estimate"])
def test_token_ids_are_counted_exactly(mode: Mode) -> None:
    counter = TokenCounter(mode)
    assert counter.count("any", [1, 2, 3], "tokens") == Usage(3, "counted")
    assert counter.count("any", [[1, 2, 3], (4, 5)], "tokens") == Usage(5, "counted")
    assert counter.count(None, (7,)) == Usage(1, "counted")


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("abcd", 1),
        ("abcde", 2),
        (["a", "", "abcde"], 3),
        (("ab", "cd"), 2),
        ([], 0),
        ("漢字" * 4, 2),
    ],
)
def test_a_text_is_estimated_at_four_characters_a_token(content: Any, tokens: int) -> None:
    for counter in (TokenCounter("estimate"), TokenCounter("auto"), TokenCounter("tiktoken")):
        assert counter.count("jina-embeddings-v3", content, "text") == Usage(tokens, "estimated")


def test_off_counts_nothing() -> None:
    assert TokenCounter("off").count(MODEL, "text", "text") is None
    assert TokenCounter("off").count(MODEL, [1, 2], "tokens") is None


def test_what_is_neither_text_nor_ids_is_left_alone() -> None:
    def texts() -> Iterator[str]:
        yield "one"

    counter, generator, iterator = TokenCounter("auto"), texts(), iter(["one", "two"])
    for content in (
        None,
        b"bytes",
        {"image": "data"},
        ["text", b"image"],
        [["a"]],
        [None],
        [True],
        3,
        generator,
        iterator,
    ):
        assert counter.count(MODEL, content) is None
    assert list(generator) == ["one"]
    assert list(iterator) == ["one", "two"]
    assert counter.count(MODEL, ["data:image/png;base64,AAAA"], "image") is None
    assert counter.count(MODEL, ["text", "data:image/png;base64,AAAA"], "mixed") is None


# With one


def test_auto_estimates_until_the_encoding_is_loaded_and_counts_from_then_on(cached: Path) -> None:
    counter = TokenCounter("auto")
    assert counter.count(MODEL, "the other", "text") == Usage(3, "estimated")
    assert settled(counter) == Usage(expected(TEXT), "counted")
    assert counter.count(MODEL, [TEXT, "", "the"], "text") == Usage(expected(TEXT) + 1, "counted")
    assert counter.count("openai/Text-Embedding-Ada-002-v2", "the other", "text") == Usage(
        expected("the other"), "counted"
    )
    assert counter.count("mistral-embed", "the other", "text") == Usage(3, "estimated")
    assert counter.count(None, "the other", "text") == Usage(3, "estimated")


def test_auto_counts_fifty_thousand_characters_and_extrapolates_the_rest(cached: Path) -> None:
    counter = TokenCounter("auto")
    the = "the " * 12_500
    assert settled(counter, the) == Usage(25_000, "counted")
    assert settled(counter, the * 40) == Usage(1_000_000, "estimated")
    assert settled(counter, ["the " * 500] * 100) == Usage(100_000, "estimated")
    assert settled(counter, [the[:-2], "ab", "cd" * 3]) == Usage(25_005, "estimated")


def test_a_slow_tiktoken_is_given_less_of_a_text(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiktoken, "__version__", "0.12.0", raising=False)
    counter = TokenCounter("auto")
    assert settled(counter, "the " * 625) == Usage(1_250, "counted")
    assert settled(counter, ["the " * 1_250, "the "]) == Usage(2_502, "estimated")


def test_tiktoken_loads_where_it_is_needed_and_counts_everything(cached: Path, storage: FileServer) -> None:
    counter = TokenCounter("tiktoken")
    assert counter.count(MODEL, TEXT, "text") == Usage(expected(TEXT), "counted")
    assert counter.count(MODEL, "the " * 100_000, "text") == Usage(200_000, "counted")
    assert not any(thread.name == "otel-embed-tokens" for thread in threading.enumerate())
    assert storage.asked == 0


def test_estimate_never_loads(cached: Path) -> None:
    assert settled(TokenCounter("estimate")) == Usage(10, "estimated")


@pytest.mark.parametrize("text", ["\ud800", "\udfff the", "<|endoftext|>", "\0", "a" * 5_000])
def test_odd_texts_are_counted(text: str, cached: Path) -> None:
    counted = settled(TokenCounter("auto"), text)
    assert counted is not None
    assert counted.source == "counted"
    assert counted.tokens > 0


def test_the_applications_own_encoding_is_used(storage: FileServer) -> None:
    storage_encoding = tiktoken.get_encoding("cl100k_base")  # the application lets tiktoken fetch it
    assert storage.asked == 1
    assert TokenCounter("auto").count(MODEL, TEXT, "text") == Usage(
        len(storage_encoding.encode_ordinary(TEXT)), "counted"
    )


def test_a_tiktoken_that_gives_up_on_a_text_leaves_an_estimate(
    storage: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PanicException(BaseException):
        """What pyo3 raises for a panic of Rust's: no ``Exception``, so nobody's ``except Exception`` stops it."""

    class Encoding:
        def __init__(self, error: type[BaseException]) -> None:
            self.error = error

        def encode_ordinary(self, text: str) -> list[int]:
            raise self.error

    monkeypatch.setitem(tiktoken.registry.ENCODINGS, "cl100k_base", Encoding(PanicException))
    assert TokenCounter("auto").count(MODEL, "abcde", "text") == Usage(2, "estimated")
    monkeypatch.setitem(tiktoken.registry.ENCODINGS, "cl100k_base", Encoding(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        TokenCounter("auto").count(MODEL, "abcde", "text")


# Where the file is


@pytest.mark.parametrize("mode", ["auto", "tiktoken"])
def test_a_missing_file_is_never_downloaded(mode: Mode, storage: FileServer) -> None:
    assert settled(TokenCounter(mode)) == Usage(10, "estimated")
    assert storage.asked == 0


@pytest.mark.parametrize("mode", ["auto", "tiktoken"])
def test_a_file_with_another_content_is_neither_used_nor_removed(mode: Mode, cached: Path, storage: FileServer) -> None:
    cached.write_bytes(FILE[:-10])
    assert settled(TokenCounter(mode)) == Usage(10, "estimated")
    assert cached.read_bytes() == FILE[:-10]
    assert storage.asked == 0


def test_the_other_variable_and_the_folder_for_temporary_files_are_searched(
    cached: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR")
    assert TokenCounter("tiktoken").count(MODEL, TEXT, "text") == Usage(10, "estimated")
    monkeypatch.setenv("DATA_GYM_CACHE_DIR", str(cached.parent))
    assert TokenCounter("tiktoken").count(MODEL, TEXT, "text") != Usage(10, "estimated")
    monkeypatch.setenv("DATA_GYM_CACHE_DIR", str(tmp_path / "empty"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cached.parent.rename(tmp_path / "data-gym-cache")
    assert TokenCounter("tiktoken").count(MODEL, TEXT, "text") != Usage(10, "estimated")


def test_a_variable_that_litellm_overwrites_later_is_remembered(
    cached: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    counter = TokenCounter("tiktoken")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "litellm"))
    counted = counter.count(MODEL, TEXT, "text")
    assert counted is not None
    assert counted.source == "counted"


@pytest.mark.parametrize(
    ("package", "folder"),
    [
        ("litellm", "litellm_core_utils/tokenizers"),
        ("litellm", "llms/tokenizers"),
        ("llama_index", "core/_static/tiktoken_cache"),
    ],
)
def test_the_file_is_found_in_packages_that_ship_it_without_importing_them(
    package: str, folder: str, cached: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "site" / package / folder).mkdir(parents=True)
    (tmp_path / "site" / package / "__init__.py").write_text("raise AssertionError('imported')")
    cached.rename(tmp_path / "site" / package / folder / cached.name)
    monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.syspath_prepend(tmp_path / "site")
    counted = TokenCounter("tiktoken").count(MODEL, TEXT, "text")
    assert counted is not None
    assert counted.source == "counted"
    assert package not in sys.modules


def test_an_odd_module_in_place_of_such_a_package_is_no_harm(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "litellm", type(sys)("litellm"))  # no __spec__: find_spec raises ValueError
    assert settled(TokenCounter("auto")) == Usage(expected(TEXT), "counted")


def test_the_real_encoding_counts_as_openai_does(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = find_spec("llama_index")
    assert spec is not None, "llama-index-core, which ships OpenAI's file, is among the dependencies of the tests"
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    monkeypatch.delenv("DATA_GYM_CACHE_DIR", raising=False)
    monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {})
    counter = TokenCounter("tiktoken")
    assert counter.count(MODEL, "tiktoken is great!", "text") == Usage(6, "counted")
    assert counter.count(MODEL, ["お誕生日おめでとう", "2 + 2 = 4"], "text") == Usage(9 + 7, "counted")


# Fetching


def test_fetch_gets_the_file_in_the_background_and_keeps_it(storage: FileServer, tmp_path: Path) -> None:
    counter = TokenCounter("auto", fetch=True)
    assert counter.count(MODEL, TEXT, "text") == Usage(10, "estimated")
    assert settled(counter) == Usage(expected(TEXT), "counted")
    assert [path.read_bytes() for path in (tmp_path / "cache").iterdir()] == [FILE]
    assert TokenCounter("tiktoken").count(MODEL, TEXT, "text") == Usage(expected(TEXT), "counted")
    assert storage.asked == 1


def test_a_server_that_does_not_answer_holds_nobody_up(storage: FileServer, caplog: pytest.LogCaptureFixture) -> None:
    storage.delay = 0.5
    for mode in ("auto", "tiktoken"):
        counter = TokenCounter(mode, fetch=True, timeout=0.6)
        start = time.perf_counter()
        assert counter.count(MODEL, TEXT, "text") == Usage(10, "estimated")
        assert time.perf_counter() - start < 0.4
        assert settled(counter) == Usage(10, "estimated")
    assert storage.asked == 2
    assert [record.getMessage() for record in caplog.records] == [
        "OTEL_EMBED_TOKEN_FETCH: tiktoken's cl100k_base could not be fetched, tokens are estimated"
    ] * 2


def test_a_file_with_another_content_is_not_kept(storage: FileServer, tmp_path: Path) -> None:
    storage.content = FILE[:-10]
    assert settled(TokenCounter("auto", fetch=True)) == Usage(10, "estimated")
    assert not (tmp_path / "cache").exists()


def test_a_file_that_cannot_be_kept_still_serves(
    storage: FileServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "occupied").write_text("a file, where the folder should be")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "occupied"))
    assert settled(TokenCounter("auto", fetch=True), "the the") == Usage(3, "counted")
    with pytest.raises(OSError, match="occupied"):
        prefetch()


def test_a_machine_on_which_nothing_can_be_written_is_no_harm(
    cached: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def nowhere() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    assert settled(TokenCounter("auto")) == Usage(expected(TEXT), "counted")


def test_prefetch_gets_what_is_missing_and_says_where_it_is(storage: FileServer, tmp_path: Path) -> None:
    name = sha1(storage.url.encode()).hexdigest()
    assert prefetch() == [str(tmp_path / "cache" / name)]
    assert prefetch(["cl100k_base"], str(tmp_path / "image")) == [str(tmp_path / "image" / name)]
    assert prefetch(["cl100k_base"], str(tmp_path / "image")) == [str(tmp_path / "image" / name)]
    assert storage.asked == 2
    assert os.listdir(tmp_path / "image") == [name]


def test_prefetch_raises_what_went_wrong(storage: FileServer, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="tiktoken has no encoding 'nope' in a file of its own"):
        prefetch(["nope"])
    storage.delay = 0.2
    with pytest.raises(OSError, match=re.escape(storage.url)):
        prefetch(timeout=0.3)
    storage.delay, storage.content = 0.0, b"<html>"
    with pytest.raises(OSError, match="its checksum differs"):
        prefetch()
    storage.shutdown()
    storage.server_close()
    with pytest.raises(OSError, match="refused"):
        prefetch()
    assert not (tmp_path / "cache").exists()


def test_locate_finds_the_file_without_reading_the_encoding_from_it(storage: FileServer, cached: Path) -> None:
    assert locate("cl100k_base") == str(cached)
    cached.write_bytes(FILE[:-10])
    assert locate("cl100k_base") is None
    with pytest.raises(ValueError, match="no encoding 'nope'"):
        locate("nope")
    assert storage.asked == 0


# The command


def tokens(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["tokens", *arguments])


def test_the_command_shows_what_is_there_and_fetches_what_is_not(storage: FileServer, tmp_path: Path) -> None:
    path = tmp_path / "cache" / sha1(storage.url.encode()).hexdigest()
    before, fetched, after = tokens(), tokens("fetch"), tokens()
    counts = "text-embedding-3-*, text-embedding-ada-002"
    assert before.stdout.splitlines() == [
        "encoding     counts                                      file",
        f"cl100k_base  {counts}  not on this machine",
        "",
        "Until it is here, tokens are estimated: otel-embed tokens fetch cl100k_base",
    ]
    assert (fetched.exit_code, fetched.stdout, fetched.stderr) == (0, f"{path}\n", "")
    assert path.read_bytes() == FILE
    assert after.stdout.splitlines()[1:] == [f"cl100k_base  {counts}  {path}"]
    assert (before.exit_code, after.exit_code) == (0, 0)
    assert storage.asked == 1


@pytest.mark.parametrize("mode", ["estimate", "off"])
def test_the_command_says_that_no_file_is_used(mode: Mode, cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EMBED_TOKEN_COUNTING", mode)
    assert tokens().stdout.splitlines()[-1] == f"None of them is used: OTEL_EMBED_TOKEN_COUNTING={mode}"


def test_the_command_fetches_into_a_folder_and_says_how_it_is_found_there(
    storage: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = tokens("fetch", "cl100k_base", "--cache-dir", "image")
    assert done.stdout == f"{tmp_path / 'image' / sha1(storage.url.encode()).hexdigest()}\n"
    assert f"TIKTOKEN_CACHE_DIR={tmp_path / 'image'}" in done.stderr
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "image"))
    assert settled(TokenCounter("auto")) == Usage(expected(TEXT), "counted")


def test_the_command_fails_in_one_line(storage: FileServer) -> None:
    unknown = tokens("fetch", "nope")
    assert (unknown.exit_code, unknown.stdout) == (2, "")
    assert unknown.stderr == "otel-embed: tiktoken has no encoding 'nope' in a file of its own\n"
    storage.delay = 0.2
    slow = tokens("fetch", "--timeout", "0.3")
    assert (slow.exit_code, slow.stdout) == (1, "")
    assert re.fullmatch(r"otel-embed: cl100k_base could not be fetched: .*\n", slow.stderr)


# Processes


def run(script: str, **environment: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", dedent(script)]
    result = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60, env={**os.environ, **environment}
    )
    return result.stdout


def test_tiktoken_is_imported_only_when_it_is_used() -> None:
    script = """
        import sys
        from otel_embed.pricing.tokens import TokenCounter
        for mode in ("estimate", "off", "auto", "tiktoken"):
            TokenCounter(mode).count("voyage-4", ["text"], "text")
            TokenCounter(mode).count("text-embedding-3-small", [1, 2], "tokens")
        print(sorted({"tiktoken", "requests", "llama_index", "litellm"} & set(sys.modules)))
    """
    assert run(script) == "[]\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("wait", [0.0, 5.0], ids=["while loading", "loaded"])
def test_a_forked_child_counts(wait: float) -> None:
    script = f"""
        import os, time
        from otel_embed.pricing.tokens import Calibration, TokenCounter
        counter, calibration = TokenCounter("auto"), Calibration()
        calibration.learn("m", 1, 4)

        def counted(seconds):
            deadline = time.time() + seconds
            while True:
                usage = counter.count("text-embedding-3-small", "tiktoken is great!", "text")
                if usage.source == "counted" or time.time() > deadline:
                    return usage
                time.sleep(0.01)

        counted({wait})
        child = os.fork()
        import tempfile, tiktoken  # would hang here if our thread had been in the middle of them
        tempfile.gettempdir()
        os.write(1, b"%d %d; " % (counted(20).tokens, calibration.estimate("m", 8)))
        child and os.waitpid(child, 0)
    """
    assert run(script) == "6 2; " * 2


# Properties

ids = st.lists(st.integers(), max_size=5)
contents = st.recursive(
    st.one_of(st.none(), st.text(), st.binary(), st.integers(), st.booleans(), st.floats(), ids, st.just(object())),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.tuples(inner, inner), st.dictionaries(st.text(), inner), st.sets(st.integers())
    ),
    max_leaves=8,
)
models = st.one_of(st.none(), st.text(), st.just(MODEL), st.integers())
kinds = st.sampled_from(["text", "tokens", "image", "mixed", None, "other", 3])


@pytest.mark.parametrize("mode", ["auto", "tiktoken", "estimate", "off"])
def test_count_takes_anything(mode: Mode, cached: Path) -> None:
    counter = TokenCounter(mode)
    settled(counter)

    @given(model=models, content=contents, kind=kinds)
    @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def check(model: Any, content: Any, kind: Any) -> None:
        usage = counter.count(model, content, kind)
        assert usage is None or usage.tokens >= 0

    check()


@given(texts=st.lists(st.text()))
def test_an_estimate_is_at_least_a_token_for_each_text(texts: list[str]) -> None:
    usage = TokenCounter("estimate").count(None, texts)
    assert usage is not None
    assert sum(1 for text in texts if text) <= usage.tokens <= sum(map(len, texts))
    assert usage.tokens >= sum(map(len, texts)) / 4


# Calibration


def test_calibration_learns_a_models_tokens_per_character() -> None:
    calibration = Calibration()
    assert calibration.estimate("m", 100) is None
    calibration.learn("m", 10, 30)
    calibration.learn("m", 30, 50)
    assert calibration.estimate("m", 100) == 50
    assert calibration.estimate("m", 101) == 51
    assert calibration.estimate("m", 0) == calibration.estimate("m", -3) == 0
    assert calibration.estimate("other", 100) is None


def test_calibration_ignores_what_teaches_nothing() -> None:
    calibration = Calibration()
    for tokens, characters in ((0, 10), (10, 0), (-1, 10), (10, -1)):
        calibration.learn("m", tokens, characters)
    assert calibration.estimate("m", 100) is None


def test_calibration_learns_a_bounded_number_of_models() -> None:
    calibration = Calibration()
    for number in range(5_000):
        calibration.learn(f"m{number}", 1, 4)
    calibration.learn("m0", 3, 4)
    assert sum(calibration.estimate(f"m{number}", 4) is not None for number in range(5_000)) == 1_000
    assert calibration.estimate("m0", 4) == 2


def test_calibration_stays_true_in_many_threads() -> None:
    calibration = Calibration()

    def teach() -> None:
        for _ in range(2_000):
            calibration.learn("m", 2, 8)
            assert calibration.estimate("m", 400) == 100

    run_together(teach, 8)
    assert calibration.estimate("m", 400) == 100


def test_many_threads_can_wait_for_one_encoding(cached: Path) -> None:
    counter, right = TokenCounter("tiktoken"), expected(TEXT)
    run_together(lambda: check_count(counter, right), 8)


def check_count(counter: TokenCounter, right: int) -> None:
    assert counter.count(MODEL, TEXT, "text") == Usage(right, "counted")


def run_together(work: Callable[[], None], threads: int) -> None:
    """Run in several threads; an exception in one of them fails the test, as pytest makes a warning of it."""
    together = [threading.Thread(target=work) for _ in range(threads)]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
