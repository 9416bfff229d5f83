"""The article "How to spot data leakage thanks to heat maps" (M. Nalepa, 2018): Bart, Homer and their backgrounds.

Arguments: experiment=honest|leaky|background-class|repaired, weights=imagenet|mini,
input=raw|keras|tf (the pixels: RGB 0..255 as the article fed them; as Keras' weights, or the mini ones, expect them),
head=article|linear, folder=..., out=... (where pasted pictures go).

Claim of the article: 100 % on validation in every experiment; the leaking network is wrong on every picture with
swapped backgrounds and its maps lie on the background; the third class repairs it.
Expected: the leak as told (8 of 8, then 0 of 8). The repair moves the heat onto the figure and still fails on swapped
pictures. The article's head (ReLU before the mean, Adam 1e-3) often dies; the trainer says so; head=linear does not.
Commands:
    jaxcam weights fetch vgg16_keras_notop
    jaxcam train configs/bart_vs_homer.py:experiment=leaky,folder=bart-vs-homer --out runs/leaky
    jaxcam train configs/bart_vs_homer.py:experiment=leaky,weights=mini,input=tf,head=linear,folder=bart-vs-homer \\
        --out runs/leaky
    jaxcam demo --pictures bart-vs-homer --out runs/bart-vs-homer      (all four, offline, one page)
"""

from pathlib import Path

from jaxcam.config import Config
from jaxcam.demo import pictures, recipes
from jaxcam.errors import UserError


def get_config(
    experiment: str = "leaky",
    weights: str = "imagenet",
    input: str = "raw",
    head: str = "article",
    folder: str = "../shared/bart-vs-homer",
    out: str = "runs/bart-vs-homer/pictures",
) -> Config:
    """One of the experiments at 360x640, with maps of 22x40."""
    told = {e.key: e for e in pictures.real(Path(folder), Path(out), moved=0).experiments}
    if experiment not in told:
        raise UserError(f"unknown experiment {experiment!r}; there are: {', '.join(told)}")
    if input not in ("raw", "keras", "tf") or head not in ("article", "linear"):
        raise UserError(f"got input={input}, head={head}; allowed are input=raw|keras|tf and head=article|linear")
    told[experiment].prepare()
    return recipes.article(told[experiment], weights=weights, pixels=input, relu=head == "article")
