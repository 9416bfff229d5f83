"""What a set's maps explain: from the words on the command line to the classes of each image of a batch.

The words are terms separated by commas:

- `predicted`, `second`, `true`: the likeliest class, the second likeliest, the label (the prediction without one);
- a class name;
- `top3`: the three likeliest classes; `all`: every class;
- `a-b`, where both are of the first two kinds: what speaks for a rather than b, the difference of their scores.

A single term of the first two kinds, or one difference, gives one map an image; everything else an axis of maps.
"""

import difflib
import re
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, Int

from jaxcam.attribution.targets import Targets, chosen_scores, difference, probability
from jaxcam.errors import UserError

Score = Literal["logit", "probability"]
GIVEN = "given"
"""the targets are class numbers that come with the images"""
LISTED = 12


@dataclass(frozen=True)
class Term:
    """A class of each image: a fixed one, the label, or the one of a rank by its logit."""

    kind: Literal["class", "true", "rank"]
    value: int = 0

    def of(self, logits: Float32[Array, "n k"], labels: Int[Array, "..."]) -> Int[Array, " n"]:
        """The class of every image."""
        if self.kind == "class":
            return jnp.full(logits.shape[:1], self.value, jnp.int32)
        if self.kind == "true":
            return jnp.where(labels >= 0, labels.astype(jnp.int32), logits.argmax(-1).astype(jnp.int32))
        if self.value == 0:
            return logits.argmax(-1).astype(jnp.int32)
        return jax.lax.top_k(logits, self.value + 1)[1][:, self.value].astype(jnp.int32)


@dataclass(frozen=True)
class Plan:
    """The maps of an image, in order."""

    pairs: tuple[tuple[Term, Term | None], ...]
    """what is explained, and what it is held against"""
    several: bool
    """whether the maps have an axis of their own"""
    given: int | None = None
    """number of class numbers that come with each image, instead of `pairs`; 0: one, without an axis"""

    @property
    def width(self) -> int:
        """Number of maps an image."""
        return len(self.pairs) if self.given is None else max(1, self.given)

    @property
    def contrastive(self) -> bool:
        """Whether any map is held against a class."""
        return any(negative is not None for _, negative in self.pairs)

    @property
    def needs_labels(self) -> bool:
        """Whether labels matter."""
        return any(term is not None and term.kind == "true" for pair in self.pairs for term in pair)

    def classes(
        self, logits: Float32[Array, "n k"], labels: Int[Array, "..."]
    ) -> tuple[Int[Array, "n t"], Int[Array, "n t"]]:
        """Class of each map, and the class that it is held against (-1: none)."""
        if self.given is not None:
            chosen = labels.astype(jnp.int32).reshape(labels.shape[0], -1)
            return chosen, jnp.full_like(chosen, -1)
        if all(positive.kind == "class" and negative is None for positive, negative in self.pairs):
            fixed = jnp.array([positive.value for positive, _ in self.pairs], jnp.int32)
            chosen = jnp.broadcast_to(fixed, (logits.shape[0], len(fixed)))
            return chosen, jnp.full_like(chosen, -1)
        none = jnp.full(logits.shape[:1], -1, jnp.int32)
        chosen = jnp.stack([positive.of(logits, labels) for positive, _ in self.pairs], axis=1)
        against = [none if negative is None else negative.of(logits, labels) for _, negative in self.pairs]
        return chosen, jnp.stack(against, axis=1)

    def targets(self, chosen: Int[Array, "n t"], against: Int[Array, "n t"], score: Score) -> Targets:
        """What the attribution methods take: class numbers, or a function of the logits."""
        if not self.contrastive:
            return chosen if score == "logit" else probability(chosen)
        if score == "probability":
            return lambda logits: _difference_or_one(jax.nn.softmax(logits.astype(jnp.float32)), chosen, against)
        if all(negative is not None for _, negative in self.pairs):
            return difference(chosen, against)
        return lambda logits: _difference_or_one(logits, chosen, against)


def _difference_or_one(values: Array, chosen: Array, against: Array) -> Array:
    other = chosen_scores(values, jnp.maximum(against, 0))
    return chosen_scores(values, chosen) - jnp.where(against >= 0, other, 0)


def parse(text: str, class_names: tuple[str, ...]) -> Plan:
    """The plan that the words ask for; `UserError` names what there is.

    A class whose name holds a comma or a minus is found by its whole name.

    >>> parse("top2", ("ant", "bee", "cat")).width
    2
    """
    whole = _single(text, class_names)
    if whole is not None:
        return Plan(((whole, None),), several=False)
    parts = [part.strip() for part in text.split(",")]
    pairs: list[tuple[Term, Term | None]] = []
    several = len(parts) > 1
    for part in parts:
        top = re.fullmatch(r"top(\d+)", part)
        if part == "all":
            pairs += [(Term("class", number), None) for number in range(len(class_names))]
            several = True
        elif top:
            if not 1 <= int(top[1]) <= len(class_names):
                raise UserError(f"target {part!r}: there are {len(class_names)} classes")
            pairs += [(Term("rank", rank), None) for rank in range(int(top[1]))]
            several = True
        else:
            pairs.append(_pair(part, class_names))
    return Plan(tuple(pairs), several=several)


def _single(text: str, class_names: tuple[str, ...]) -> Term | None:
    if text in class_names:
        return Term("class", class_names.index(text))
    if text == "second" and len(class_names) < 2:
        raise UserError("target 'second' needs two classes; the classifier has one")
    ranks = {"predicted": 0, "second": 1}
    if text in ranks:
        return Term("rank", ranks[text])
    return Term("true") if text == "true" else None


def _pair(text: str, class_names: tuple[str, ...]) -> tuple[Term, Term | None]:
    single = _single(text, class_names)
    if single is not None:
        return single, None
    for cut in (match.start() for match in re.finditer("-", text)):
        sides = _single(text[:cut].strip(), class_names), _single(text[cut + 1 :].strip(), class_names)
        if sides[0] is not None and sides[1] is not None:
            return sides[0], sides[1]
    names = ("predicted", "true", "all", *class_names)
    shown = ", ".join(names[:LISTED]) + (f", ... ({len(class_names)} classes)" if len(names) > LISTED else "")
    near = difflib.get_close_matches(text, class_names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise UserError(f"unknown target {text!r}; there are: {shown}; also second, top3, a-b and a,b{hint}")
