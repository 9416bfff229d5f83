"""Exact evaluation of any JAX function under a changed box of its input.

    evaluate = incremental(fn)                                       # fn: (n H W c) -> array or tree with leading n
    outputs = evaluate(images, window=(32, 32), offsets=offsets, fill=0.0)              # (n, p, ...) for p windows
    outputs, base = evaluate(images, ..., return_base=True)                              # base: fn(images)
    outputs = evaluate(images, ..., chosen=numbers)                  # (n, q, ...): only those windows; may be traced
    changes = evaluate.changes(images, window=(32, 32), offsets=offsets, fill=0.0)       # fn gives maps (n h w c)
    changes.dot(gradient)                      # (n, p): sum over all positions of (changed - base) * gradient (n h w c)
    print(evaluate.plan((1, 224, 224, 3), window=(32, 32), stride=(16, 16)))

A window changes a small box of the input. Through convolutions and pools the box grows by known arithmetic, and outside
it every activation equals that of the unchanged image. `programs` flattens the function to a list of steps; `boxes` and
`rules` say which inputs each output comes from; `geometry` follows the boxes through the steps, on the host; `grouping`
puts windows with like boxes together, so that every box has a static size; `schedule` cuts the work to the memory;
`walk` runs the steps on boxes; `evaluate` puts it together in one XLA program; `plan` tells all that beforehand.

The idea for three hand-written networks: Nakandala, Kumar and Papakonstantinou, "Incremental and Approximate Inference
for Faster Occlusion-based Deep CNN Explanations", SIGMOD 2019.
"""

from jaxcam.attribution.incremental.changes import Changes
from jaxcam.attribution.incremental.evaluator import Incremental, grid_offsets, incremental
from jaxcam.attribution.incremental.plan import Operation, Plan

__all__ = ["Changes", "Incremental", "Operation", "Plan", "grid_offsets", "incremental"]
