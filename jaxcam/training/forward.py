"""What a step computes from its inputs: images, varied when training, or features of the frozen base."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Shaped

from jaxcam.classifier import Classifier
from jaxcam.data.augment import Augment, augment

UNVARIED = Augment()


@dataclass(frozen=True, eq=False)
class Forward:
    """From the output of stage `start` (None: `uint8` images) to the logits; pure functions of the parameters."""

    classifier: Classifier
    start: str | None = None
    trained: tuple[str, ...] = ()
    """stages that move: their batch norm goes by the batch, and its running statistics move too"""
    variation: Augment = UNVARIED

    def __call__(self, params: Mapping[str, Any], x: Shaped[Array, "n ..."]) -> Float[Array, "n k"]:
        """Logits as a finished classifier gives them."""
        return self.classifier.chain.apply(params, self._prepared(x), start=self.start)

    def training(
        self, params: Mapping[str, Any], x: Shaped[Array, "n ..."], *, rows: Bool[Array, " n"], key: PRNGKeyArray
    ) -> tuple[Float[Array, "n k"], dict[str, Any]]:
        """Logits of a training step, and batch norm's running statistics after it; only `rows` enter these."""
        chain = self.classifier.chain
        if self.start is None and self.variation.active:
            x = augment(self.variation, jax.random.fold_in(key, len(chain.stages)), x)
        return chain.apply_training(
            params, self._prepared(x), start=self.start, trained=self.trained, rows=rows, key=key
        )

    def _prepared(self, x: Shaped[Array, "n ..."]) -> Array:
        return self.classifier.preprocessing.normalise(x) if self.start is None else x
