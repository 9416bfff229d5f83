"""Where a signal turns amber or red, and where that number comes from: one table for the whole audit."""

from dataclasses import dataclass

from jaxcam.audit.signals import Status


@dataclass(frozen=True)
class Threshold:
    """Bounds of one signal; `rising`: large values are bad."""

    red: float | None
    amber: float | None = None
    rising: bool = True
    provenance: str = ""

    def judge(self, value: float) -> tuple[Status, float | None]:
        """Status of a value, and the bound it was judged by."""
        sign = 1 if self.rising else -1
        for bound, status in ((self.red, "red"), (self.amber, "amber")):
            if bound is not None and sign * value >= sign * bound:
                return status, bound  # type: ignore[return-value]
        return "green", self.amber if self.amber is not None else self.red


THRESHOLDS: dict[str, Threshold] = {
    "D1": Threshold(0.95, 0.85, provenance="starting value: 13 sets, bars, JPEG, low-res and tint planted"),
    "D2": Threshold(0.75, provenance="starting value: leave-one-out excess over chance, 13 sets"),
    "M1": Threshold(0.60, 0.35, provenance="starting value: 16 model and data pairs"),
    "M2": Threshold(0.30, provenance="starting value: clean .08 to .26 on 16 pairs"),
    "M3": Threshold(0.10, rising=False, provenance="starting value: only where accuracy is at least .9"),
    "M4": Threshold(0.30, provenance="starting value: clean at most .22; only cells at the border"),
    "M5": Threshold(2.0, provenance="starting value: z against random heads"),
    "M7": Threshold(0.90, provenance="starting value: every class; only where the scene is static"),
    "M8": Threshold(1.0, 1.5, rising=False, provenance="starting value: leak .55, honest 2.4"),
}
