"""From blocks of times to numbers: what a call costs more, how sure that is, and how it compares with the wrapper."""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass
from typing import Any

RESAMPLES = 400


@dataclass(frozen=True)
class Added:
    """Microseconds a call takes longer than the bare client's, over blocks: CPU, and wall for comparison."""

    variant: str
    sdk: str
    client: str
    transport: str
    texts: int
    bare: float
    added: float
    quartiles: tuple[float, float]
    error: float
    wall: float
    ratio: float
    ratio_interval: tuple[float, float]
    blocks: int

    @property
    def share(self) -> float:
        """Of the bare call's own CPU time."""
        return self.added / self.bare


def differences(times: dict[str, list[float]], name: str) -> list[float]:
    return [mine - bare for mine, bare in zip(times[name], times["bare"], strict=True)]


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile; of one value three times itself."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def median_error(values: list[float]) -> float:
    """Standard error of the median, estimated from the quartiles as for a normal distribution."""
    low, _, high = quartiles(values)
    return float(1.2533 * (high - low) / 1.349 / len(values) ** 0.5)


def ratio_interval(mine: list[float], wrapper: list[float]) -> tuple[float, float]:
    """90 % of the ratios that the same blocks, drawn again at random, would have given."""
    chance = random.Random(1)
    ratios = []
    for _ in range(RESAMPLES):
        drawn = chance.choices(range(len(mine)), k=len(mine))
        below = statistics.median(wrapper[i] for i in drawn)
        ratios.append(statistics.median(mine[i] for i in drawn) / below if below else 0.0)
    ratios.sort()
    return ratios[RESAMPLES // 20], ratios[-RESAMPLES // 20]


def summed_up(variant: str, sdk: str, cell: dict[str, Any], name: str) -> Added:
    """`name` is whose times of the cell are meant: the wrapper's or the variant's."""
    mine, wrapper = differences(cell["cpu"], name), differences(cell["cpu"], "wrapper")
    low, middle, high = quartiles(mine)
    below = statistics.median(wrapper)
    return Added(
        variant=variant,
        sdk=sdk,
        client=cell["client"],
        transport=cell["transport"],
        texts=cell["texts"],
        bare=statistics.median(cell["cpu"]["bare"]),
        added=middle,
        quartiles=(low, high),
        error=median_error(mine),
        wall=statistics.median(differences(cell["wall"], name)),
        ratio=middle / below if below else 0.0,
        ratio_interval=ratio_interval(mine, wrapper),
        blocks=len(mine),
    )


def joined(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """One cell out of the same cell of several processes."""
    first = cells[0]
    return {
        **first,
        **{
            clock: {name: [time for cell in cells for time in cell[clock][name]] for name in first[clock]}
            for clock in ("cpu", "wall")
        },
    }


def idle(runs: list[dict[str, Any]]) -> dict[str, float]:
    """The probe outside any embedding call, over the processes of one variant."""
    times = joined([run["idle"] for run in runs])
    added = differences(times["cpu"], "variant")
    low, middle, high = quartiles(added)
    bare = statistics.median(times["cpu"]["bare"])
    return {"bare": bare, "added": middle, "low": low, "high": high, "error": median_error(added)}


def footprints(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over fresh processes; what was imported is the same in each."""
    numbers = [key for key, value in runs[0].items() if isinstance(value, float)]
    return {key: statistics.median(run[key] for run in runs) for key in numbers} | {"imported": runs[0]["imported"]}
