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
    "D3": Threshold(0.95, 0.85, provenance="starting value: logo on all of a class .90, natural sets at most .81"),
    "D4": Threshold(0.10, 0.01, provenance="share of audited pictures that were trained on; by convention"),
    "M1": Threshold(0.60, 0.35, provenance="starting value: 16 model and data pairs"),
    "M2": Threshold(0.30, provenance="starting value: clean .08 to .26 on 16 pairs"),
    "M3": Threshold(None, 0.10, rising=False, provenance="amber only: honest drawn figures before one scene .09, .10"),
    "M4": Threshold(0.30, provenance="starting value: clean at most .22; only cells at the border"),
    "M7": Threshold(0.90, provenance="starting value: every class; only where the scene is static"),
    "M8": Threshold(1.0, 1.5, rising=False, provenance="starting value: leak .55, honest 2.4"),
    "M9": Threshold(0.95, provenance="share of pictures in one class: 1.00 in 6 of 6 at a wrong scale"),
    "M14": Threshold(1e-6, rising=False, provenance="spread of the logits: a dead head has rounding noise"),
    "M16": Threshold(0.30, 0.15, provenance="6 runs, drawn and real: cheaters .88 to 1.00, truly repaired 0"),
    "M17": Threshold(0.30, provenance="as M2, of which it is the counterpart for what no mask hides"),
    # Beside a red finding of the data layer only (`conjunction`).
    "M2+D": Threshold(0.12, provenance="tuning families: users of logo and bars .17 to .24, clean at most .06"),
    "M17+D": Threshold(0.12, provenance="as M2+D"),
    "C1": Threshold(1.0, rising=False, provenance="an even map has 1; leak .55, honest 2.4"),
    "C3": Threshold(0.25, 0.10, provenance="beside a test at 5 %: leaks fall by .8 to 1, honest models by 0 to .13"),
    "C3p": Threshold(0.30, 0.20, provenance="beside a test at 5 %: ImageNet models have .05 to .14 (Xiao et al. 2021)"),
    "C4": Threshold(0.60, 0.35, provenance="as M1: the share of the accuracy above chance that is left"),
    "C5": Threshold(0.25, 0.10, provenance="beside a test at 5 % over the cells, as C3"),
}
