"""Commands that take a config: `CONFIG [--a.b value ...]` with options of their own beside it."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from jaxcam.cli import parse


def parse_config(arguments: Sequence[str], program: str, options: dict[str, tuple[Any, Any, str]]) -> tuple[Any, Any]:
    """The config named first, changed by the options after it, and the values of the command's own options.

    `options` is name -> (type, default, help). Raises `UserError` for a file or a value that cannot be.
    """
    from jaxcam import config as configs

    file = configs.load(arguments[0])
    own = [(name, Annotated[kind, tyro.conf.arg(help=help_)]) for name, (kind, _, help_) in options.items()]
    both = dataclasses.make_dataclass("Options", own, bases=(configs.Config,), frozen=True, kw_only=True)
    values = {field.name: getattr(file.config, field.name) for field in dataclasses.fields(configs.Config)}
    chosen: Any = parse(
        tyro.conf.AvoidSubcommands[both],  # type: ignore[valid-type,misc]
        arguments[1:],
        f"{program} {arguments[0]}",
        default=both(**values, **{name: default for name, (_, default, _) in options.items()}),
        description=file.about,
    )
    return configs.Config(**{name: getattr(chosen, name) for name in values}), chosen
