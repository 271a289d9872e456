"""A library's own published tests, without otel_embed and with it: every test must end alike.

    python tests/upstream/own_tests.py openai tests/test_client.py tests/lib ...

The tests come with the library's source distribution, in the version that is installed here.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).parent
EXPECTED = {
    "tests.unit_tests.runnables.test_config::test_merge_config_callbacks": "counts a manager's handlers, and ours is one",
    "tests.unit_tests.language_models.chat_models.test_benchmark::test_benchmark_model": "times 1,000 calls of a fake model",
}
"""Tests that may end differently, and why."""
ROUNDS = 3
"""A test that ends differently is run again, both ways: some end differently by themselves."""


def unpacked(library: str, folder: Path) -> Path:
    """The source distribution of the installed version, unpacked."""
    which = f"{library}=={version(library)}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", library, "--dest", folder, which]
    subprocess.run(command, check=True)
    (archive,) = folder.glob(f"{library.replace('-', '_')}-*.tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def outcomes(source: Path, tests: list[str], observed: bool, inside: bool, options: list[str]) -> dict[str, str]:
    """How each test ended: passed, skipped, failed or error."""
    report = source / ("observed.xml" if observed else "plain.xml")
    report.unlink(missing_ok=True)
    plugin = ["-p", "observed", *(["--inside-a-call"] if inside else [])] if observed else []
    command = [sys.executable, "-m", "pytest", *plugin, "-p", "no:cacheprovider", "-q", "--tb=short", f"--junitxml={report}"]
    environment = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONHASHSEED": "0"}
    ended = subprocess.run(
        [*command, *options, *tests], cwd=source, capture_output=True, text=True, env=environment, check=False
    )
    print("\n".join(ended.stdout.splitlines()[-4:]), flush=True)
    if ended.returncode not in (0, 1):
        raise SystemExit(f"pytest ended with {ended.returncode}:\n{ended.stdout[-4000:]}\n{ended.stderr[-2000:]}")
    cases = ElementTree.parse(report).iter("testcase")
    return {f"{case.get('classname')}::{case.get('name')}": _outcome(case) for case in cases}


def _outcome(case: ElementTree.Element) -> str:
    found = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
    return found[0] if found else "passed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library")
    parser.add_argument("tests", nargs="+")
    parser.add_argument("--folder", type=Path, default=Path("build/upstream"))
    parser.add_argument("--option", action="append", default=[], help="for pytest; may be repeated")
    parser.add_argument("--inside-a-call", action="store_true", help="each test is an embedding call, for transports")
    asked = parser.parse_args()
    folder = (asked.folder / asked.library).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    source = unpacked(asked.library, folder)
    differing: set[str] | None = None
    for _ in range(ROUNDS):
        plain = outcomes(source, asked.tests, False, False, asked.option)
        observed = outcomes(source, asked.tests, True, asked.inside_a_call, asked.option)
        if sum(outcome == "passed" for outcome in plain.values()) < len(plain) / 2:
            raise SystemExit("most of the tests do not pass here even by themselves, so that they show nothing")
        now = {test for test in {*plain, *observed} if plain.get(test) != observed.get(test)} - EXPECTED.keys()
        differing = now if differing is None else differing & now
        if not differing:
            print(f"{asked.library} {version(asked.library)}: {len(plain)} tests end alike")
            return
    for test in sorted(differing or ()):
        print(f"{test}: {plain.get(test)} without otel_embed, {observed.get(test)} with it")
    raise SystemExit(1)


if __name__ == "__main__":
    main()
