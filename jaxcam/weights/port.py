"""From a weight file to parameters: names, axis order and types of other libraries become jaxcam's.

Every tensor of the file and every parameter of the network is accounted for. What does not fit is reported at once, by
name, with the shapes got and expected.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxcam.errors import UserError
from jaxcam.networks.own import is_file
from jaxcam.weights.messages import one_line
from jaxcam.weights.readers import read
from jaxcam.weights.rules import Network, Rule
from jaxcam.weights.safetensors_files import flatten, nest
from jaxcam.weights.tables import NETWORKS, own_network

LISTED = 40
"""How many names of a kind a message lists; `PortError`'s fields have all."""

Tensors = Mapping[str, np.ndarray]


class PortError(UserError):
    """A file that does not fit the network.

    Attributes:
        missing: parameters that the file does not have, with the expected shapes.
        extra: tensors of the file that are no parameters of the network, with their shapes.
        misshapen: parameters whose tensor has another shape, type or repetition, with got and expected.
    """

    def __init__(
        self, message: str, *, missing: Iterable[str] = (), extra: Iterable[str] = (), misshapen: Iterable[str] = ()
    ):
        super().__init__(one_line(message))
        self.missing = tuple(missing)
        self.extra = tuple(extra)
        self.misshapen = tuple(misshapen)


def network_named(name: str) -> Network:
    """The porting table of a network; `UserError` lists the names there are."""
    if is_file(name):
        return own_network(name)
    if name not in NETWORKS:
        raise UserError(f"no weights can be ported to network {name!r}; there are rules for: {', '.join(NETWORKS)}")
    return NETWORKS[name]


def detect(names: Collection[str], network: str = "vgg16") -> str:
    """Whose names these are: `jaxcam`, `keras`, `keras3`, `torchvision` or `timm`; the one that explains the most.

    Raises:
        PortError: if no naming knows any of them.
    """
    known = _explained(names, network_named(network))
    best = max(known, key=known.__getitem__)
    if not known[best]:
        some = ", ".join(list(names)[:4]) or "no tensors"
        told = f"these are no weights of {network}: the file has {some}; known are the names of {', '.join(known)}"
        fitting = [other for other, table in NETWORKS.items() if max(_explained(names, table).values()) == len(names)]
        raise PortError(f"{told}; they are named like those of {', '.join(fitting)}" if fitting and names else told)
    return best


def _explained(names: Collection[str], table: Network) -> dict[str, int]:
    """How many of the names each naming knows."""
    counted = table.counted(names).values()
    return {
        naming: sum(any(rule.matches(name) for rule in rules if rule.target) for name in counted)
        for naming, rules in table.namings.items()
    }


def port(
    tensors: Tensors,
    template: Mapping[str, Any] | None,
    *,
    network: str = "vgg16",
    source: str | None = None,
    ignore_top: bool = False,
    ignore: Collection[str] = (),
    where: str = "the file",
) -> dict[str, Any]:
    """Parameters for `template` from a file's tensors, as a nested dictionary of float32 numpy arrays.

    Args:
        tensors: as `readers.read` gives them.
        template: nested dictionary with arrays or `jax.ShapeDtypeStruct`s, such as `chain.abstract(shape)` or a part of
            it. `None`: whatever sizes the file has, but the whole base and all or nothing of the top.
        network: whose porting table is used.
        source: whose names the file has; `None`: see `detect`.
        ignore_top: drop the tensors of the network's top, or of a jaxcam head, that the template does not have.
        ignore: what else is dropped if the template does not have it: names of jaxcam's stages, or the first parts of
            names in the file (`dense` for `dense/kernel`, `head` for `head.0.weight`).
        where: what messages call the file.

    Raises:
        PortError: one error for everything that is missing, extra, of another shape, not floating point or not finite.
        UserError: for an unknown network or naming.
    """
    table = network_named(network)
    naming = source or detect(tensors, network)
    if naming not in table.namings:
        raise UserError(f"unknown naming {naming!r}; there are: {', '.join(table.namings)}")
    expected = None if template is None else {name: tuple(leaf.shape) for name, leaf in flatten(template).items()}

    def droppable(parameter: str) -> bool:
        return parameter.split("/")[0] in ignore or (ignore_top and table.is_top(parameter))

    sources, extra, misshapen = _assign(table.counted(tensors), table.namings[naming], expected, droppable, ignore)
    wanted = _wanted(table, sources, naming, droppable) if expected is None else list(expected)
    missing = [name for name in wanted if name not in sources]
    flat: dict[str, np.ndarray] = {}
    for target in wanted:
        if target not in sources:
            continue
        name, rule = sources[target]
        try:
            flat[target] = _convert(tensors, name, rule, sources, None if expected is None else expected[target])
        except ValueError as error:
            misshapen.append(f"{target} ({name}: {error})")
    if missing or extra or misshapen:
        shapes = expected or {}
        missing_shown = [f"{name} {shapes[name]}" if name in shapes else name for name in missing]
        extra_shown = [f"{name} {tuple(tensors[name].shape)}" for name in extra]
        top_only = bool(extra) and not ignore_top and _only_top(extra, table, naming)
        message = f"{where} ({naming} names) does not fit {network}: " + "; ".join(
            _listed(kind, names)
            for kind, names in (("missing", missing_shown), ("not in the network", extra_shown), ("wrong", misshapen))
            if names
        )
        message += "; ignore_top=True drops the top" if top_only else ""
        raise PortError(message, missing=missing_shown, extra=extra_shown, misshapen=misshapen)
    return nest(flat)


def load(
    path: str | Path,
    template: Mapping[str, Any] | None,
    *,
    network: str = "vgg16",
    source: str | None = None,
    ignore_top: bool = False,
    ignore: Collection[str] = (),
) -> dict[str, Any]:
    """Read a weight file of any supported format and port it to `template`; see `readers.read` and `port`."""
    return port(
        read(path),
        template,
        network=network,
        source=source,
        ignore_top=ignore_top,
        ignore=ignore,
        where=str(path),
    )


def _assign(
    names: Mapping[str, str],
    rules: tuple[Rule, ...],
    expected: Mapping[str, Any] | None,
    droppable: Callable[[str], bool],
    ignore: Collection[str],
) -> tuple[dict[str, tuple[str, Rule]], list[str], list[str]]:
    """Which tensor is which parameter; the tensors that are none; the parameters that two tensors claim.

    `names`: each tensor's name, and what the rules call it.
    """
    sources: dict[str, tuple[str, Rule]] = {}
    extra: list[str] = []
    repeated: list[str] = []
    for name, counted in names.items():
        rule = next((rule for rule in rules if rule.matches(counted)), None)
        target = rule.parameter(counted) if rule else None
        kept = target in expected if expected is not None else not droppable(target or "")
        if rule is None:
            if re.split(r"[/.]", name)[0] not in ignore:
                extra.append(name)
        elif target is None:
            continue
        elif target in sources:
            repeated.append(f"{target} (both {sources[target][0]} and {name})")
        elif kept:
            sources[target] = (name, rule)
        elif not droppable(target):
            extra.append(name)
    return sources, extra, repeated


def _wanted(table: Network, sources: Mapping[str, Any], naming: str, droppable: Callable[[str], bool]) -> list[str]:
    """Without a template: the base, and all or nothing of the top; jaxcam's own files may have another head."""
    base = [target for target in table.targets if not table.is_top(target) and not droppable(target)]
    top = [target for target in sources if table.is_top(target)]
    whole = [target for target in table.targets if table.is_top(target) and not droppable(target)]
    return [*base, *(whole if top and naming != "jaxcam" else top)]


def _convert(
    tensors: Tensors,
    name: str,
    rule: Rule,
    sources: Mapping[str, tuple[str, Rule]],
    expected: tuple[int, ...] | None,
) -> np.ndarray:
    """One parameter as float32 in memory order; `ValueError` says what is wrong with the tensor."""
    array = tensors[name]
    got = tuple(array.shape)
    if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
        raise ValueError(f"type {array.dtype}, not floating point")
    if rule.transform is not None:
        channels = 0
        if rule.channels_of:
            if rule.channels_of not in sources:
                raise ValueError(f"cannot be put in order without {rule.channels_of}")
            channels = tensors[sources[rule.channels_of][0]].shape[-1]
        try:
            array = rule.transform(array, channels)
        except ValueError as error:
            raise ValueError(f"got {got}, {error}" + (f", expected {expected} here" if expected else "")) from error
    if expected is not None and array.shape != expected:
        here = f" which is {tuple(array.shape)} here" if tuple(array.shape) != got else ""
        raise ValueError(f"got {got}{here}, expected {expected}")
    with np.errstate(over="ignore", invalid="ignore"):
        out = np.array(array, dtype=np.float32, order="C")
    if not np.isfinite(out).all():
        raise ValueError("has values that are not finite")
    return out


def _only_top(extra: Collection[str], table: Network, naming: str) -> bool:
    """Whether all that is too much are tensors of a top."""
    rules = table.namings[naming]
    targets = [next((rule.parameter(name) for rule in rules if rule.matches(name)), None) for name in extra]
    return all(target is not None and table.is_top(target) for target in targets)


def _listed(kind: str, names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{kind}: {', '.join(names[:LISTED])}{more}"
