"""A pickle reader that can describe tensors and do nothing else.

Python's own unpickler imports and calls whatever a file names. This one is an interpreter of the few instructions that
`torch.save` needs for a state dict: it imports nothing, calls nothing but the six builders below, and refuses the rest.
The instructions are taken apart by `pickletools.genops`, which only parses.
"""

import io
import pickletools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

MAX_BYTES = 64 * 2**20
"""The longest pickle that is read; VGG16's has about 4 KB, the tensors' data is not in it."""
MAX_INSTRUCTIONS = 4_000_000
MAX_DIMENSIONS = 32


class PickleRefused(Exception):
    """The pickle holds something that a weight file does not need; the message says what."""


@dataclass(frozen=True)
class Storage:
    """A block of elements somewhere in the file; `start` is the first element of a view on it."""

    key: str
    dtype: np.dtype
    count: int
    start: int = 0
    stop: int = 0


@dataclass(frozen=True)
class Tensor:
    """A strided view on a storage, checked to lie inside it; offset and strides in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Name:
    """A global that the pickle names. It is never looked up in Python."""

    name: str


STORAGE_DTYPES: dict[str, np.dtype] = {
    "torch.DoubleStorage": np.dtype(np.float64),
    "torch.FloatStorage": np.dtype(np.float32),
    "torch.HalfStorage": np.dtype(np.float16),
    "torch.BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "torch.LongStorage": np.dtype(np.int64),
    "torch.IntStorage": np.dtype(np.int32),
    "torch.ShortStorage": np.dtype(np.int16),
    "torch.CharStorage": np.dtype(np.int8),
    "torch.ByteStorage": np.dtype(np.uint8),
    "torch.BoolStorage": np.dtype(np.bool_),
}


def _natural(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _naturals(value: Any) -> tuple[int, ...]:
    if not isinstance(value, tuple | list) or len(value) > MAX_DIMENSIONS or not all(map(_natural, value)):
        raise PickleRefused("a tensor's shape or strides are not natural numbers")
    return tuple(value)


def _tensor(*args: Any) -> Tensor:
    """The arguments of `_rebuild_tensor` (2017) and of `_rebuild_tensor_v2`, whose first four are the same."""
    storage, offset, shape, strides = args[:4]
    if not isinstance(storage, Storage) or not _natural(offset):
        raise PickleRefused("a tensor without a storage or a natural offset")
    if len(args) > 6 and args[6]:
        raise PickleRefused("a tensor with a pending conjugation or negation")
    shape, strides = _naturals(shape), _naturals(strides)
    if len(shape) != len(strides):
        raise PickleRefused(f"a tensor with {len(shape)} dimensions and {len(strides)} strides")
    offset += storage.start
    elements, last = 1, offset
    for size, stride in zip(shape, strides, strict=True):
        elements *= size
        last += (size - 1) * stride
    # Strides of zero could claim any number of elements of a small storage; state dicts do not hold such tensors.
    if elements and (last >= storage.stop or elements > storage.stop - storage.start):
        raise PickleRefused(
            f"a tensor of shape {shape} at offset {offset} does not fit into its storage of {storage.stop} elements"
        )
    return Tensor(storage, offset, shape, strides)


def _parameter(*args: Any) -> Tensor:
    if not args or not isinstance(args[0], Tensor):
        raise PickleRefused("a parameter without a tensor")
    return args[0]


def _size(*args: Any) -> tuple[int, ...]:
    return _naturals(args[0]) if args else ()


def _ordered_dict(*args: Any) -> dict:
    out: dict = {}
    # Python 2 pickled an OrderedDict as a list of [key, value] lists.
    for pair in args[0] if args else ():
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise PickleRefused("an OrderedDict whose items are not pairs")
        _set(out, *pair)
    return out


def _set(target: Any, key: Any, value: Any) -> None:
    # Only text and numbers are keys: hashing a nested tuple can take exponential time.
    if type(target) is not dict or not isinstance(key, str | int):
        raise PickleRefused("a dictionary item whose key is neither text nor a number")
    target[key] = value


BUILDERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.nn.parameter.Parameter": _parameter,
    "torch.Size": _size,
}


def _name(name: str) -> Name:
    if name not in BUILDERS and name not in STORAGE_DTYPES:
        raise PickleRefused(f"it names {name[:200]!r}, which a weight file does not need")
    return Name(name)


def storage_of(pid: Any) -> Storage:
    """The storage that a persistent id describes; `PickleRefused` for whole modules and malformed ids."""
    if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
        raise PickleRefused("a reference that is not a tensor storage (is a whole model pickled?)")
    kind, key, _, count = pid[1:5]
    if not isinstance(kind, Name) or kind.name not in STORAGE_DTYPES or not _natural(count):
        raise PickleRefused("a storage of unknown type or size")
    if not isinstance(key, str | int):
        raise PickleRefused("a storage without a key")
    dtype = STORAGE_DTYPES[kind.name]
    view = pid[5] if len(pid) == 6 else None
    if view is None:
        return Storage(str(key), dtype, count, 0, count)
    if not isinstance(view, tuple) or len(view) != 3 or not all(map(_natural, view[1:])) or sum(view[1:]) > count:
        raise PickleRefused("a view that does not fit into its storage")
    return Storage(str(key), dtype, count, view[1], view[1] + view[2])


CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT")
TEXTS = ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING")
LITERALS = frozenset((*NUMBERS, *TEXTS))
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    """The stack, the marks and the memo of one pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def call(self, args: Any, function: Any) -> None:
        if not isinstance(function, Name) or function.name not in BUILDERS or not isinstance(args, tuple):
            raise PickleRefused("it calls something that is not a tensor builder")
        self.stack.append(BUILDERS[function.name](*args))

    def step(self, name: str, arg: Any) -> None:
        stack = self.stack
        if name in LITERALS:
            stack.append(arg)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name]())
        elif name in TUPLES:
            items = [stack.pop() for _ in range(TUPLES[name])]
            stack.append(tuple(reversed(items)))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[arg] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[arg])
        elif name == "GLOBAL":
            stack.append(_name(".".join(arg.split(" ", 1))))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(_name(f"{module}.{attribute}" if isinstance(module, str) else "?"))
        elif name == "BINPERSID":
            stack.append(storage_of(stack.pop()))
        elif name in ("REDUCE", "NEWOBJ"):
            self.call(stack.pop(), stack.pop())
        elif name == "MARK":
            self.marks.append(stack)
            self.stack = []
        else:
            self.fill(name)

    def fill(self, name: str) -> None:
        """The instructions that put items into a container."""
        if name == "TUPLE":
            items = self.to_mark()
            self.stack.append(tuple(items))
        elif name in ("APPEND", "APPENDS"):
            items = self.to_mark() if name == "APPENDS" else [self.stack.pop()]
            if type(self.stack[-1]) is not list:
                raise PickleRefused("it appends to something that is not a list")
            self.stack[-1].extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = self.to_mark() if name == "SETITEMS" else [self.stack.pop(-2), self.stack.pop()]
            for key, value in zip(items[::2], items[1::2], strict=True):
                _set(self.stack[-1], key, value)
        elif name == "BUILD":
            # Attributes of a state dict (`_metadata`) or of a parameter: they are not tensors, so they are dropped.
            self.stack.pop()
            if not isinstance(self.stack[-1], dict | Tensor):
                raise PickleRefused("it sets attributes of something that is not a tensor or a dictionary")
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise PickleRefused(f"it uses the instruction {name}, which a weight file does not need")


def unpickle(stream: io.BytesIO) -> Any:
    """The object of the pickle at the stream's position, which is left just behind it.

    The result is made of dictionaries, lists, tuples, text, numbers, `None` and `Tensor`s.

    Raises:
        PickleRefused: for any other content, and for broken or truncated pickles.
    """
    machine = _Machine()
    try:
        for count, (opcode, arg, _) in enumerate(pickletools.genops(stream)):
            if count > MAX_INSTRUCTIONS:
                raise PickleRefused(f"it has more than {MAX_INSTRUCTIONS} instructions")
            machine.step(opcode.name, arg)
        result: Any = machine.stack.pop()
    except PickleRefused:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, AttributeError, MemoryError) as error:
        # What genops and the stack raise on a broken pickle; nothing of the file has run.
        raise PickleRefused(f"its pickle is broken or truncated ({type(error).__name__})") from error
    return result


def tensors_of(obj: Any, wrappers: Sequence[str] = ("state_dict", "model")) -> dict[str, Tensor]:
    """The state dict in an unpickled object, which may lie under one of the `wrappers`.

    Raises:
        PickleRefused: if there is none, or if an entry of it is not a tensor.
    """
    for _ in range(len(wrappers) + 1):
        inner = [obj[key] for key in wrappers if isinstance(obj, dict) and isinstance(obj.get(key), dict)]
        if not inner:
            break
        obj = inner[0]
    if not isinstance(obj, dict) or not any(isinstance(value, Tensor) for value in obj.values()):
        what = f"a dictionary of {', '.join(map(str, list(obj)[:8]))}" if isinstance(obj, dict) else type(obj).__name__
        raise PickleRefused(f"it holds no state dict but {what[:300]}")
    others = [str(key) for key, value in obj.items() if not isinstance(value, Tensor)]
    if others:
        raise PickleRefused(f"its state dict has entries that are not tensors: {', '.join(others[:8])}")
    return {str(key): value for key, value in obj.items()}
