"""What a training run is made of: frozen dataclasses, a file in `configs/`, and overrides on the command line."""

import dataclasses
import importlib.util
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from jaxcam.data.augment import Augment
from jaxcam.errors import UserError
from jaxcam.networks.heads import Head
from jaxcam.preprocessing import Preprocessing

ClassWeights = tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Data:
    """Where the pictures are."""

    source: str = ""
    """folder with one sub-folder a class, or with Train/Valid (train/val) folders of such; or a manifest (.csv), a
    folder that `jaxcam data prepare` wrote, or tfds:NAME"""
    folder: str = ""
    """another name for `source`"""
    train: str | None = None
    """the training split: a sub-folder, or of a tfds: set train[:80%] and the like; None: recognised by its name"""
    valid: str | None = None
    """the validation split, likewise; None: recognised by its name"""
    valid_share: float = 0.2
    """share held out of each class where there are no splits"""
    masks: str = ""
    """folder with an object mask for each training picture, or derived (fixed scenes), for augment.backgrounds"""

    @property
    def where(self) -> str:
        """The one of `source` and `folder` that is given; empty where none is."""
        if self.source and self.folder and self.source != self.folder:
            raise UserError(
                f"--data.source {self.source} and --data.folder {self.folder} mean the same; give one (where the "
                f"config file sets folder: --data.folder {self.source})"
            )
        return self.source or self.folder


@dataclass(frozen=True, kw_only=True)
class Network:
    """The network and the weights it starts from."""

    name: str = "vgg16_mini"
    """architecture: vgg16, vgg16_mini, vgg19, resnet50, mobilenet, inception_v3, xception, convnet, ..."""
    weights: str = "mini"
    """none, mini (in the package), imagenet (the network's published file), a catalogue entry, or a weight file"""
    base_end: str | None = None
    """last stage of the base that is kept; None: all of it"""
    width: float | None = None
    """factor on the number of channels; None: the architecture's"""
    head: Head | Literal["top"] = Head()
    """what stands on the base"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """compute dtype; parameters are float32"""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A part of the training: what moves, how, and for how long."""

    trainable: str = "head"
    """head: what stands on the base; all; a stage's name: that stage and everything after it; or patterns with *,
    separated by commas: exactly these stages, as in block5_*,predictions"""
    epochs: int = 20
    """passes over the training set (of `steps` steps each, where that is given)"""
    steps: int | None = None
    """steps an epoch; None: one pass. The next epoch goes on in the pass where this one ends"""
    batch_size: int = 32
    """pictures a step"""
    optimiser: Literal["adam", "rmsprop", "sgd"] = "adam"
    """adam; rmsprop with Keras' decay .9; sgd with momentum .9"""
    learning_rate: float = 1e-3
    """peak rate"""
    schedule: Literal["constant", "cosine", "linear", "exponential", "step"] = "constant"
    """constant; cosine or linear: falls to zero over the phase; exponential: falls by the factor decay_rate in every
    decay_epochs, smoothly; step: the same in steps. All count from the end of the warm-up"""
    decay_rate: float = 0.1
    """exponential and step only: factor on the rate in every decay_epochs"""
    decay_epochs: float | None = None
    """exponential and step only; None: exponential the whole phase, step a third of it"""
    warmup_epochs: float = 0.0
    """linear rise from zero at the start"""
    weight_decay: float = 0.0
    """decoupled decay of the trainable kernels"""
    clip_norm: float = 0.0
    """largest norm of the trainable parameters' gradient; 0: no limit"""
    augment: Augment = Augment()
    """variation of the training pictures, on the device; all zero: none, and frozen features can be kept"""
    class_weights: ClassWeights | Literal["balanced", "none"] = "none"
    """factor on the loss of each class: none, balanced (inverse frequency), or (name, factor) pairs"""
    label_smoothing: float = 0.0
    """share of the target that is spread over all classes, as in Keras; the validation loss is always the plain one"""
    early_stopping: int = 0
    """end the phase after so many epochs without a better value of `monitor`; 0: off"""
    monitor: Literal["valid_loss", "valid_accuracy", "valid_balanced_accuracy"] = "valid_loss"
    """the number that early stopping and keep=best go by"""
    keep: Literal["last", "best"] = "last"
    """parameters that the phase hands on: of its last epoch, or of the best one by `monitor` (the first of equals)"""


@dataclass(frozen=True, kw_only=True)
class Config:
    """A training run."""

    data: Data = Data()
    network: Network = Network()
    preprocessing: Preprocessing = Preprocessing.named("tf")
    phases: tuple[Phase, ...] = (Phase(),)
    seed: int = 0
    """decides initial values, order of the pictures and dropout"""
    cache_gib: float = 4.0
    """memory for the frozen base's features; above it they are computed in every epoch"""
    tensorboard: bool = False
    """also write TensorBoard's events, into RUN/tensorboard (needs tensorboardX)"""


@dataclass(frozen=True)
class ConfigFile:
    """A loaded file of `configs/`: its config and what its docstring says."""

    config: Config
    about: str = field(default="")


def load(argument: str) -> ConfigFile:
    """Load `configs/NAME.py`, or `configs/NAME.py:key=value,...` with arguments for its `get_config`."""
    path, _, rest = argument.partition(":")
    pairs = [item.partition("=") for item in rest.split(",") if item]
    file = Path(path)
    if not file.is_file():
        there = ", ".join(sorted(p.as_posix() for p in Path("configs").glob("[a-z]*.py"))) or "none in ./configs"
        raise UserError(f"no config file {path!r}; give a Python file with get_config() (there are: {there})")
    spec = importlib.util.spec_from_file_location(f"jaxcam_config_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise UserError(f"{path!r} is not a Python file; give a file of configs/ such as configs/folder.py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        config = module.get_config(**{key: value for key, _, value in pairs})
    except UserError:
        raise
    except Exception as error:  # a config is the user's own code: whatever it raises is told in one line
        raise UserError(f"config {argument!r} failed: {type(error).__name__}: {error}") from error
    if not isinstance(config, Config):
        raise UserError(f"get_config() of {path!r} gave {type(config).__name__}; it must return jaxcam.config.Config")
    return ConfigFile(config, (module.__doc__ or "").strip())


def check(config: Config) -> None:
    """Raise `UserError` for the first value that no run can have."""
    network, head, inputs = config.network, config.network.head, config.preprocessing
    rules: list[tuple[str, Any, bool, str]] = [
        ("seed", config.seed, config.seed >= 0, "at least 0"),
        ("network.width", network.width, network.width is None or network.width > 0, "above 0"),
        ("preprocessing.size", inputs.size, min(inputs.size) > 0, "above 0"),
        ("preprocessing.std", inputs.std, min(inputs.std) > 0, "above 0"),
    ]
    if isinstance(head, Head):
        rules.append(("network.head.hidden", head.hidden, min(head.hidden, default=1) > 0, "above 0"))
        rules.append(("network.head.dropout", head.dropout, 0 <= head.dropout < 1, "at least 0 and below 1"))
    if not config.phases:
        raise UserError("the config has no phases; give at least one")
    for number, phase in enumerate(config.phases):
        warmup, end = phase.warmup_epochs, phase.epochs if phase.schedule in ("cosine", "linear") else math.inf
        rules += [
            (f"phases.{number}.{name}", getattr(phase, name), holds, wanted)
            for name, holds, wanted in (
                ("epochs", phase.epochs >= 1, "at least 1"),
                ("steps", phase.steps is None or phase.steps >= 1, "at least 1"),
                ("batch_size", phase.batch_size >= 1, "at least 1"),
                ("learning_rate", 0 < phase.learning_rate < math.inf, "above 0"),
                ("warmup_epochs", 0 <= warmup < end, f"at least 0 and below {end}"),
                ("weight_decay", 0 <= phase.weight_decay < math.inf, "at least 0"),
                ("clip_norm", 0 <= phase.clip_norm < math.inf, "at least 0"),
                ("decay_rate", 0 < phase.decay_rate <= 1, "above 0 and at most 1"),
                ("decay_epochs", phase.decay_epochs is None or 0 < phase.decay_epochs < math.inf, "above 0"),
                ("label_smoothing", 0 <= phase.label_smoothing < 1, "at least 0 and below 1"),
                ("early_stopping", phase.early_stopping >= 0, "at least 0"),
            )
        ]
        if phase.augment.backgrounds and (not config.data.masks or phase.batch_size < 2):
            raise UserError(
                f"--phases.{number}.augment.backgrounds puts objects before other pictures of the batch; it needs "
                "--data.masks FOLDER (or derived, where the scenes do not move) and a batch size of at least 2"
            )
    for name, value, holds, wanted in rules:
        if not holds:
            raise UserError(f"--{name.replace('_', '-')} is {value}; it must be {wanted}")


def to_json(config: Config) -> dict[str, Any]:
    """The config as JSON values (tuples become lists)."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def defaults(config: Config) -> dict[str, Any]:
    """What a config of as many phases says where nothing is set, as JSON values."""
    return to_json(Config(phases=tuple(Phase() for _ in config.phases)))


def differences(
    old: dict[str, Any], new: dict[str, Any], usual: Mapping[str, Any] = MappingProxyType({}), prefix: str = ""
) -> list[str]:
    """`key: old -> new` for every leaf that differs; `phases.0.epochs` is a leaf, a list of numbers is one too.

    An option that `old` lacks and that has its value of `usual` in `new` is none: it came after the old was written.
    """
    lines = []
    for key in sorted(set(old) | set(new)):
        a, b, c = (numbered(values.get(key)) for values in (old, new, usual))
        if key not in old and key in usual and b == c and not key.isdigit():
            continue
        if isinstance(a, dict) and isinstance(b, dict):
            lines += differences(a, b, c if isinstance(c, dict) else {}, f"{prefix}{key}.")
        elif a != b:
            lines.append(f"{prefix}{key}: {'nothing' if key not in old else a} -> {'nothing' if key not in new else b}")
    return lines


def numbered(value: Any) -> Any:
    """A list of objects as an object with the positions as keys."""
    is_list = isinstance(value, list) and any(isinstance(item, dict) for item in value)
    return {str(position): item for position, item in enumerate(value)} if is_list else value
