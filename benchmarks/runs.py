"""The plan of a run, and the child processes that carry it out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import summary
from summary import Added
from variants import VARIANTS

HERE = Path(__file__).parent
CALLS_A_BLOCK = {1: 128, 100: 12, 1000: 4}


@dataclass(frozen=True)
class Plan:
    """Each variant is measured in `turns` processes for each SDK, with `blocks` blocks of one-text calls in each."""

    turns: int = 3
    blocks: int = 24
    quick: bool = False

    def spec(self, variant: str, sdk: str) -> dict[str, Any]:
        return {"variant": variant, "sdk": sdk, "cells": self.cells(sdk), "idle_blocks": 2 if self.quick else 24}

    def cells(self, sdk: str) -> list[dict[str, Any]]:
        """The kinds of call. A batch's size has no bearing on what is done without an SDK."""
        sizes = [1, 100] if self.quick else [1] if sdk == "none" else [1, 100, 1000]
        kinds = [("in process", texts, client) for texts in sizes for client in ("sync", "async")]
        kinds += [("loopback", 1, client) for client in ("sync", "async") if sdk == "sampled"]
        return [
            {"transport": transport, "texts": texts, "client": client, **self.amount(texts, transport)}
            for transport, texts, client in kinds
        ]

    def amount(self, texts: int, transport: str) -> dict[str, int]:
        if self.quick:
            return {"blocks": 2, "calls": 8 if texts == 1 else 2}
        fraction = {1: 1, 100: 2, 1000: 3}[texts] * (2 if transport == "loopback" else 1)
        return {"blocks": max(2, self.blocks // fraction), "calls": CALLS_A_BLOCK[texts]}


class ChildFailed(Exception):
    """A child process stopped with an error: the variant does not work, or it did not report what it was called for."""


def child(script: str, spec: dict[str, Any]) -> dict[str, Any]:
    """What a script of this folder answers in a process of its own; whatever else is printed there is dropped."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        command = [sys.executable, str(HERE / script), json.dumps(spec), str(answer)]
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise ChildFailed(f"{script}: {done.stderr.strip()[-600:]}")
        result: dict[str, Any] = json.loads(answer.read_text())
        return result


def measured(names: list[str], plan: Plan) -> tuple[list[Added], dict[str, Any], dict[str, str]]:
    """Added time of every variant, the idle probe, and what went wrong; who begins changes from turn to turn."""
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    failed: dict[str, str] = {}
    for turn in range(plan.turns):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            for sdk in VARIANTS[name].sdks:
                print(f"turn {turn + 1} of {plan.turns}: {name}, {sdk}", file=sys.stderr)
                try:
                    runs.setdefault((sdk, name), []).append(child("measure.py", plan.spec(name, sdk)))
                except ChildFailed as error:
                    failed[name] = str(error)
    complete = {(sdk, name): answers for (sdk, name), answers in runs.items() if name not in failed}
    idle = {name: summary.idle(answers) for (sdk, name), answers in complete.items() if sdk == "sampled"}
    return added_rows(complete), idle, failed


def added_rows(runs: dict[tuple[str, str], list[dict[str, Any]]]) -> list[Added]:
    """A row a variant and kind of call, and one for the wrapper of all processes together."""
    rows = []
    for sdk in dict.fromkeys(sdk for sdk, _ in runs):
        of_sdk = {name: answers for (its_sdk, name), answers in runs.items() if its_sdk == sdk}
        for kind in range(len(next(iter(of_sdk.values()))[0]["cells"])):
            cells = {name: summary.joined([run["cells"][kind] for run in of_sdk[name]]) for name in of_sdk}
            rows.append(summary.summed_up("wrapper", sdk, summary.joined(list(cells.values())), "wrapper"))
            rows += [summary.summed_up(name, sdk, cell, "variant") for name, cell in cells.items()]
    return rows


def footprints(names: list[str], plan: Plan) -> dict[str, Any]:
    """Fresh processes, one variant after the other, several times; the first round only fills the caches."""
    rounds, calls = (1, 20) if plan.quick else (7, 1000)
    runs: dict[str, list[dict[str, Any]]] = {}
    for turn in range(rounds + 1):
        for name in ("none", *names):
            answer = child("footprint.py", {"variant": None if name == "none" else name, "calls": calls})
            if turn:
                runs.setdefault(name, []).append(answer)
    return {name: summary.footprints(answers) for name, answers in runs.items()}
