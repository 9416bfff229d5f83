"""TensorFlow Datasets by name, without TensorFlow: `tfds:NAME[/CONFIG][:VERSION][?split=...&label=...&data_dir=...]`.

Here is what needs no import of `tensorflow_datasets`: what the name says, where the set lies, and what to do where it
does not. The records are read by `jaxcam.data.tfds_records`.
"""

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from jaxcam.errors import UserError

PREFIX = "tfds:"
OPTIONS = ("split", "label", "image", "data_dir")
_WORD = re.compile(r"[A-Za-z0-9_][\w.=+-]*")
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_FORMAT = "array_record"


@dataclass(frozen=True)
class Name:
    """What a `tfds:` name says."""

    name: str
    """the set's name, or the folder of one version of it"""
    config: str = ""
    version: str = ""
    options: dict[str, str] = field(default_factory=dict)
    """split: a split expression such as `train[:80%]`; label, image: keys of features; data_dir: where sets lie"""

    def __str__(self) -> str:
        text = PREFIX + self.name + (self.config and f"/{self.config}") + (self.version and f":{self.version}")
        return text + (f"?{urlencode(self.options, safe='/[]:%+')}" if self.options else "")

    @property
    def data_dir(self) -> Path:
        """The option `data_dir`, else the environment's TFDS_DATA_DIR, else `~/tensorflow_datasets`."""
        chosen = self.options.get("data_dir") or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
        return Path(chosen).expanduser()


def is_tfds(spec: str) -> bool:
    """Whether a set's name is meant for TensorFlow Datasets."""
    return spec.startswith(PREFIX)


def parse(spec: str) -> Name:
    """Take a `tfds:` name apart.

    >>> parse("tfds:imagenet_resized/64x64:0.1.0?split=train[:5%]").config
    '64x64'
    """
    body, _, query = spec.removeprefix(PREFIX).partition("?")
    options = dict(parse_qsl(query.replace("%]", "%25]").replace("%:", "%25:"), keep_blank_values=True))
    if unknown := [key for key in options if key not in OPTIONS]:
        raise UserError(f"{spec!r}: unknown option {unknown[0]!r}; there are: {', '.join(OPTIONS)}")
    if "/" in body and (body.startswith(("/", ".", "~"))):
        return Name(body, options=options)
    set_name, _, version = body.partition(":")
    name, _, config = set_name.partition("/")
    parts = [name, *([config] if config else []), *([version] if version else [])]
    if not all(_WORD.fullmatch(part) for part in parts) or body.endswith(("/", ":")):
        raise UserError(f"{spec!r} is no set's name; write tfds:NAME, tfds:NAME/CONFIG or tfds:NAME:VERSION")
    return Name(name, config, version, options)


def find(name: Name) -> Path:
    """The folder of the set's version that is asked for, or of its newest one; it holds array_record files.

    Raises `UserError` where there is none, with the command that prepares it.
    """
    if name.name.startswith(("/", ".", "~")):
        folder = Path(name.name).expanduser()
        if not (folder / "dataset_info.json").is_file():
            raise UserError(f"{folder} is no prepared version of a TFDS set: it holds no dataset_info.json")
        return _readable(name, folder)
    base = name.data_dir / name.name
    configs = {path.name: path for path in _folders(base) if _versions(path)}
    if name.config:
        base = base / name.config
    elif configs and not _versions(base):
        if len(configs) > 1:
            raise UserError(f"{name} has several configs; name one: {', '.join(sorted(configs))}")
        base = next(iter(configs.values()))
    there = _versions(base)
    wanted = [version for version in there if not name.version or version == name.version]
    if not wanted:
        raise UserError(_how_to_prepare(name, there))
    return _readable(name, there[wanted[-1]])


def _readable(name: Name, folder: Path) -> Path:
    try:
        about = json.loads((folder / "dataset_info.json").read_bytes())
        stored, others = about.get("fileFormat", "tfrecord"), about.get("alternativeFileFormats", [])
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{folder / 'dataset_info.json'} cannot be read; prepare the set again") from error
    # `tfds convert_format` puts the other format's files beside the first one's.
    if stored != _FORMAT and _FORMAT not in others:
        raise UserError(
            f"{folder} is stored as {stored}, which needs TensorFlow; convert it once: pip install "
            f"'jaxcam[tfds-prepare]' && tfds convert_format --dataset_version_dir={folder} --out_file_format={_FORMAT}"
        )
    return folder


def _how_to_prepare(name: Name, there: dict[str, Path]) -> str:
    data_dir = name.data_dir
    full = name.name + (name.config and f"/{name.config}") + (name.version and f":{name.version}")
    if there:
        return f"no version {name.version} of {name} in {data_dir}; there are: {', '.join(there)}"
    sets = sorted(path.name for path in _folders(data_dir) if not path.name.startswith((".", "download")))
    known = f"there are: {', '.join(sets[:12])}" if sets else "it holds none"
    return (
        f"no set {full!r} in {data_dir} ({known}); prepare it once: pip install 'jaxcam[tfds-prepare]' && tfds build "
        f"{full} --file_format={_FORMAT} --data_dir={data_dir}"
    )


def _folders(folder: Path) -> list[Path]:
    try:
        return [path for path in sorted(folder.iterdir()) if path.is_dir()]
    except OSError:
        return []


def _versions(folder: Path) -> dict[str, Path]:
    """The complete versions below a folder, the newest last."""
    found = [path for path in _folders(folder) if _VERSION.fullmatch(path.name)]
    found = [path for path in found if (path / "dataset_info.json").is_file()]
    return {path.name: path for path in sorted(found, key=lambda path: [int(part) for part in path.name.split(".")])}
