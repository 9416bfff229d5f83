"""What `jaxcam weights list|fetch|convert` do; each gives the text to print."""

from collections.abc import Collection
from pathlib import Path

from jaxcam import __version__
from jaxcam.errors import UserError
from jaxcam.weights import catalog
from jaxcam.weights.fetch import digest_matches, digest_of, fetch, is_cached
from jaxcam.weights.messages import size
from jaxcam.weights.port import detect, port
from jaxcam.weights.readers import detect_format, read
from jaxcam.weights.safetensors_files import flatten, read_metadata, save_safetensors


def weights_list(*, cache: str | Path | None = None) -> str:
    """A table of all entries: name, network, top, size, licence, how the file is verified, where it is."""
    rows = [("name", "network", "top", "size", "licence", "here", "checksum", "preprocessing", "accuracy")]
    for entry in catalog.list_entries():
        here = "packaged" if entry.url is None else "yes" if is_cached(entry, cache=cache) else "no"
        top = "yes" if entry.top else "no"
        rows.append(
            (
                entry.name,
                entry.network,
                top,
                size(entry.bytes),
                entry.licence,
                here,
                entry.checksum.partition(":")[0] or "none",
                entry.preprocessing,
                entry.accuracy or entry.note,
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def weights_fetch(name: str, *, cache: str | Path | None = None) -> str:
    """Download an entry's file unless it is there; says where it is."""
    entry = catalog.get(name)
    path = fetch(entry, cache=cache)
    told = f"{entry.checksum} verified" if entry.checksum else f"no checksum is published; it has {digest_of(path)}"
    return f"{entry.name}: {path} ({size(path.stat().st_size)}, {told}, licence {entry.licence})"


def weights_convert(
    source_path: str | Path,
    out_path: str | Path,
    network: str = "vgg16",
    *,
    source: str | None = None,
    ignore_top: bool = False,
    ignore: Collection[str] = (),
) -> str:
    """Port any supported file to jaxcam's names in a `.safetensors` file; says what it wrote.

    The sizes are the file's own, so narrow networks convert too. The new file's metadata says where it comes from: the
    old file's name and sha256, and the catalogue's entry if it is one of its files.

    Raises:
        UserError: as `readers.read` and `port.port`; if the two paths are the same file.
    """
    source_path, out_path = Path(source_path), Path(out_path)
    if out_path.suffix != ".safetensors":
        raise UserError(f"{out_path}: the converted file is a safetensors file; give it a name in .safetensors")
    tensors = read(source_path)
    if out_path.exists() and out_path.samefile(source_path):
        raise UserError(f"{out_path}: would overwrite its own source; give another name")
    naming = source or detect(tensors, network)
    params = port(
        tensors, None, network=network, source=naming, ignore_top=ignore_top, ignore=ignore, where=str(source_path)
    )
    flat = flatten(params)
    metadata = {
        "network": network,
        "converted_from": source_path.name,
        "converted_from_checksum": digest_of(source_path),
        "converted_from_names": naming,
        "jaxcam": __version__,
        **_origin(source_path, naming),
    }
    save_safetensors(out_path, params, metadata)
    numbers = sum(value.size for value in flat.values())
    return (
        f"{out_path}: {len(flat)} tensors, {numbers} parameters of {network} from {naming} names, "
        f"{size(out_path.stat().st_size)}, {digest_of(out_path)}"
    )


def _origin(path: Path, naming: str) -> dict[str, str]:
    """What is known of a file: its own metadata if it is jaxcam's, else the catalogue's entry with its size and sum."""
    if naming == "jaxcam" and detect_format(path) == "safetensors":
        return {f"original_{key.removeprefix('original_')}": value for key, value in read_metadata(path).items()}
    count = path.stat().st_size
    for entry in catalog.DOWNLOADED:
        if entry.bytes not in (count, None) or entry.file != path.name:
            continue
        if not entry.checksum or digest_matches(path, entry.checksum)[0]:
            return {f"original_{key}": value for key, value in catalog.provenance(entry).items()}
    return {}
