"""What a claim is, what a test of it finds, and how findings become a verdict."""

from collections.abc import Callable
from dataclasses import dataclass, field

from octavoice.results.claims.stored import Stored, Value

REPRODUCED, PARTLY, NOT, UNTESTABLE = "reproduced", "partly reproduced", "not reproduced", "not testable here"
VERDICTS = (REPRODUCED, PARTLY, NOT, UNTESTABLE)


@dataclass(frozen=True)
class Part:
    """One thing that a claim says, ``what`` was found, and whether it ``holds``; None where no run is stored, or
    where what was found cannot judge the claim."""

    what: str
    found: str
    holds: bool | None


def part(what: str, holds: Callable[..., bool], *values: Value | None) -> Part:
    """A part from numbers and a test of them, which has to hold in every seed that all of them have; without one of the
    numbers nothing is tested."""
    if any(value is None for value in values):
        return Part(what, "–", None)
    seeds = set.intersection(*(set(value.each) for value in values))
    tested = [tuple(value.each[seed] for value in values) for seed in sorted(seeds)] or [values]
    return Part(what, _against(values), all(bool(holds(*each)) for each in tested))


def _against(values: tuple[Value, ...]) -> str:
    """The numbers in words; what their ranges are over is told once if it is the same for all."""
    told = [str(value) for value in values]
    if len({value.over for value in values}) == 1:
        told[:-1] = [text.replace(f", {values[0].over}", "") for text in told[:-1]]
    return " against ".join(told)


def told(what: str, *values: Value | None) -> Part:
    """Numbers that belong to a claim but cannot judge it; as :func:`missing` without one of them."""
    return missing(what) if any(value is None for value in values) else Part(what, _against(values), None)


def missing(what: str) -> Part:
    """A part for which nothing is stored."""
    return Part(what, "–", None)


def verdict(parts: list[Part]) -> str:
    """Reproduced if every part holds, not reproduced if every tested one fails; a part without a run forbids the first.

    Nothing tested, nothing told: not testable here.
    """
    tested = [each.holds for each in parts if each.holds is not None]
    if not tested:
        return UNTESTABLE
    if all(tested):
        return REPRODUCED if len(tested) == len(parts) else PARTLY
    return PARTLY if any(tested) else NOT


@dataclass(frozen=True)
class Claim:
    """A claim in our words, where it stands, how it is tested, and by which rule its parts are judged.

    ``rule`` reads :class:`~octavoice.results.claims.stored.Stored` results; its docstring says how. ``limits``
    are the thresholds that it takes, each a ``value`` and ``why``. ``figure`` is a committed one that shows it;
    ``change`` says what would change the verdict.
    """

    id: str
    section: str
    words: str
    test: str
    rule: Callable[[Stored], list[Part]]
    figure: str
    change: str
    limits: dict[str, dict] = field(default_factory=dict)

    def record(self, folder=None) -> dict:
        """Everything about the claim as plain data, the verdict computed now from what is stored."""
        stored = Stored(folder) if folder else Stored()
        parts = self.rule(stored)
        runs = sorted({"/".join(path.removeprefix("../").split("/")[:2]) for path in stored.read})
        return {"id": self.id, "section": self.section, "claim": self.words, "test": self.test,
                "rule": " ".join(self.rule.__doc__.split()), "files": sorted(stored.read), "runs": runs,
                "parts": [{"what": each.what, "found": each.found, "holds": each.holds} for each in parts],
                "limits": self.limits, "verdict": verdict(parts), "figure": self.figure, "change": self.change}
