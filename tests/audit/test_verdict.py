"""From signals to a word."""

import pytest

from jaxcam.audit.signals import Signal, not_applicable
from jaxcam.audit.verdict import WORDS, verdict

LAYERS = {"D": "data", "M": "model", "C": "confirm"}


def signal(id: str, status: str, *, decisive: bool = False, sentence: str = "With it the thing happens.") -> Signal:
    return Signal(
        id=id,
        name=f"test {id}",
        layer=LAYERS[id[0]],
        status=status,
        value=0.5,
        count=8,
        sentence=sentence,
        details={"decisive": True} if decisive else {},
    )


@pytest.mark.parametrize(
    ("found", "word"),
    [
        ([], "NO EVIDENCE"),
        (["D1 green", "M1 green", "C3 green"], "NO EVIDENCE"),
        (["D1 amber"], "NO EVIDENCE"),
        (["D1 red"], "AT RISK"),
        (["M1 amber"], "AT RISK"),
        (["C3 amber decisive"], "AT RISK"),
        (["C1 red"], "AT RISK"),
        (["M9 amber"], "NO EVIDENCE"),
        (["M14 red"], "AT RISK"),
        (["M1 red"], "LIKELY SHORTCUT"),
        (["M1 red", "D1 red", "C3 green"], "LIKELY SHORTCUT"),
        (["C4 red"], "LIKELY SHORTCUT"),
        (["C5 red"], "LIKELY SHORTCUT"),
        (["M14 red", "C1 red"], "AT RISK"),
        (["M1 red", "C1 red"], "CONFIRMED"),
        (["M1 red", "C4 red"], "CONFIRMED"),
        (["C3 red decisive", "M1 green", "D1 green"], "CONFIRMED"),
        (["C5 red decisive"], "CONFIRMED"),
        (["M1 info", "C2 info"], "NO EVIDENCE"),
    ],
)
def test_word(found, word):
    signals = [signal(*text.split()[:2], decisive="decisive" in text) for text in found]
    assert verdict(signals).word == word


def test_another_red_signal_never_makes_it_milder():
    ids = ("D1", "M1", "M14", "C1", "C3", "C4", "C5")
    for first in ids:
        for second in ids:
            alone = verdict([signal(first, "red", decisive=first == "C3")]).word
            both = verdict([signal(id, "red", decisive=id == "C3") for id in {first, second}]).word
            assert WORDS.index(both) >= WORDS.index(alone)


def test_the_decisive_finding_is_told_first():
    found = verdict(
        [signal("D1", "red"), signal("M4", "amber"), signal("M1", "red"), signal("C3", "red", decisive=True)]
    )
    assert found.findings == ("C3", "M1", "D1", "M4")
    assert found.sentence.startswith("with it the thing happens; with it")


def test_names_keep_their_capitals():
    assert verdict([signal("M1", "red", sentence="Bart is there.")]).sentence == "Bart is there."


def test_no_evidence_says_what_was_not_tested():
    found = verdict([signal("D1", "green"), not_applicable("C3", "counter", "confirm", "none given")])
    assert found.word == "NO EVIDENCE"
    assert "1 tests found nothing" in found.sentence
    assert "1 did not apply" in found.sentence
    assert "no proof" in found.sentence
    assert "clean" not in found.sentence
    assert "nothing is known" in verdict([not_applicable("C3", "counter", "confirm", "none given")]).sentence
