"""What the experiments have to show, each target with what was seen and whether it is met."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import mean
from typing import Any

from .cells import EPOCH, Result

SHORT, LONG, SIX = (2 * EPOCH, 20 * EPOCH), (20 * EPOCH, 20 * EPOCH), (6 * EPOCH, 6 * EPOCH)
Throughput = dict[str, float]  # network -> images per second


@dataclass(frozen=True)
class Outcome:
    """``is_met``: None where cells that the target is about haven't run."""

    name: str
    claim: str
    seen: str
    is_met: bool | None


class Errors:
    """Look-up of errors by data set, network and length."""

    def __init__(self, results: Iterable[Result]) -> None:
        self.results = list(results)

    def of(self, data: str, network: str, length: tuple[int, int], sampler: str = "stn_cuda") -> dict[int, float]:
        """seed -> error. KeyError where there is none."""
        wanted = {"data": data, "network": network, "iterations": length[0], "horizon": length[1], "sampler": sampler,
                  "pool": False, "start": "identity", "gradient": "exact", "localization_lr_scale": 1.0}
        found = {one["cell"]["seed"]: one["error"] for one in self.results
                 if all(one["cell"][name] == value for name, value in wanted.items())}
        if not found:
            raise KeyError(f"{network} on {data}, {length[0]} iterations")
        return found

    def gaps(self, data: str, worse: str, better: str, length: tuple[int, int]) -> list[float]:
        """worse - better in points, for every seed that both have."""
        of_worse, of_better = self.of(data, worse, length), self.of(data, better, length)
        return [of_worse[seed] - of_better[seed] for seed in sorted(of_worse.keys() & of_better.keys())]


def outcomes(results: list[Result], throughput: Throughput) -> list[Outcome]:
    errors = Errors(results)
    claims: list[tuple[str, str, Callable[[], tuple[str, bool]]]] = [
        ("T1", "RTS, 468 iterations: ST-FCN Aff < 12 %, FCN more than 10 points worse", lambda: _t1(errors)),
        ("T2", "RTS, 20 epochs: ST-FCN Aff <= 3.0 %, FCN at least 8 points worse, every seed", lambda: _t2(errors)),
        ("T3", "R, 20 epochs: FCN at least 1.0 points worse than ST-FCN Aff, every seed", lambda: _t3(errors)),
        ("T4", "RTS: Proj and TPS within 0.4 points of Aff, means", lambda: _t4(errors)),
        ("T5", "E: TPS at most 0.1 points above Aff, FCN at least 1.2 points worse than both, means", lambda: _t5(errors)),
        ("T6", "RTS, 6 epochs: 4 recurrent steps at least 0.8 points better, with as many parameters", lambda: _t6(errors)),
        ("T7", "ST-CNN 42 -> 28 trains at least 1.5 times the images per second of CNN on 42", lambda: _t7(throughput)),
        ("T8", "RTS, 20 epochs: error within 0.3 points of torch's sampler", lambda: _t8(errors)),
    ]
    found = []
    for name, claim, check in claims:
        try:
            seen, is_met = check()
            found.append(Outcome(name, claim, seen, is_met))
        except KeyError as missing:
            found.append(Outcome(name, claim, f"not run: {missing.args[0]}", None))
    return found


def markdown(found: list[Outcome]) -> str:
    words = {True: "met", False: "NOT MET", None: "not run"}
    rows = [f"| {one.name} | {one.claim} | {one.seen} | {words[one.is_met]} |" for one in found]
    return "\n".join(["| target | claim | seen | |", "|---|---|---|---|", *rows]) + "\n"


def as_json(found: list[Outcome]) -> list[dict[str, Any]]:
    return [{"name": one.name, "claim": one.claim, "seen": one.seen, "is_met": one.is_met} for one in found]


def _t1(errors: Errors) -> tuple[str, bool]:
    with_it = errors.of("RTS", "ST-FCN Aff", SHORT)
    gaps = errors.gaps("RTS", "FCN", "ST-FCN Aff", SHORT)
    return f"{_list(with_it.values())} %, gap {_list(gaps)}", max(with_it.values()) < 12 and min(gaps) > 10


def _t2(errors: Errors) -> tuple[str, bool]:
    with_it = errors.of("RTS", "ST-FCN Aff", LONG)
    gaps = errors.gaps("RTS", "FCN", "ST-FCN Aff", LONG)
    return f"{_list(with_it.values())} %, gap {_list(gaps)}", max(with_it.values()) <= 3.0 and min(gaps) >= 8


def _t3(errors: Errors) -> tuple[str, bool]:
    gaps = errors.gaps("R", "FCN", "ST-FCN Aff", LONG)
    return f"gap {_list(gaps)}", min(gaps) >= 1.0


def _t4(errors: Errors) -> tuple[str, bool]:
    affine, projective, spline = (mean(errors.of("RTS", f"ST-FCN {name}", LONG).values()) for name in ("Aff", "Proj", "TPS"))
    return (f"Aff {affine:.2f}, Proj {projective:.2f}, TPS {spline:.2f} %",
            max(abs(projective - affine), abs(spline - affine)) <= 0.4)


def _t5(errors: Errors) -> tuple[str, bool]:
    plain, affine, spline = (mean(errors.of("E", name, LONG).values()) for name in ("FCN", "ST-FCN Aff", "ST-FCN TPS"))
    return (f"FCN {plain:.2f}, Aff {affine:.2f}, TPS {spline:.2f} %",
            spline <= affine + 0.1 and plain - max(affine, spline) >= 1.2)


def _t6(errors: Errors) -> tuple[str, bool]:
    gaps = errors.gaps("RTS", "ST-FCN Aff", "IC-ST-FCN Aff", SIX)
    return f"gap {_list(gaps)}", min(gaps) >= 0.8


def _t7(throughput: Throughput) -> tuple[str, bool]:
    if not throughput:
        raise KeyError("images per second")
    ratio = throughput["ST-CNN Aff"] / throughput["CNN"]
    return f"{ratio:.2f} times", ratio >= 1.5


def _t8(errors: Errors) -> tuple[str, bool]:
    ours, torchs = errors.of("RTS", "ST-FCN Aff", LONG), errors.of("RTS", "ST-FCN Aff", LONG, "torch")
    differences = [ours[seed] - torchs[seed] for seed in sorted(ours.keys() & torchs.keys())]
    return f"stn_cuda - torch: {_list(differences)} points", max(map(abs, differences)) <= 0.3


def _list(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)
