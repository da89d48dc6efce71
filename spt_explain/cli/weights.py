"""``spt-explain weights``: sets of weights listed, shown, checked, shared and removed."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from spt_explain.cli.options import options_from, saying_options
from spt_explain.resandi.options import ExportOptions, ImportOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spt_explain.resandi.weights import Weights

_TEXT = "JSON instead of text"
_WIDTH = 96
_SHOWN = {"name", "version", "created", "architecture", "accuracy"}


@click.group("weights", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """List, show, check, share and remove sets of weights.

    Some are part of spt-explain; your own, from retrain or import, are in the data folder that
    spt-explain doctor names. The environment variable SPT_EXPLAIN_DATA puts that folder elsewhere.

    \b
    Example:
        spt-explain classify tracks.csv --weights my-lab     # either kind
        spt-explain weights export my-lab -o my-lab.zip      # on one machine
        spt-explain weights import my-lab.zip                # on another
    """


@command.command("list")
@saying_options(printed=_TEXT, quiet=False)
def list_command(as_json: bool, **_: Any) -> int:
    """List all weights, the default first.

    \b
    Example:
        spt-explain weights list

    The accuracy is that on the test protocol without noise, from the card. Leaves with 1 if a card
    is damaged.
    """
    from spt_explain.errors import SptError
    from spt_explain.resandi.weights import find_weights, list_weights, shipped_names

    rows: list[dict[str, Any]] = []
    shipped = shipped_names()
    for name in list_weights():
        row: dict[str, Any] = {
            "name": name,
            "default": name == shipped[0],
            "own": name not in shipped,
            "problem": "",
        }
        try:
            weights = find_weights(name)
            row |= {
                "version": weights.version,
                "bytes": weights.size,
                "accuracy": weights.accuracy,
                "created": _created(weights.card),
                "sha256": weights.sha256,
            }
        except SptError as error:
            row["problem"] = str(error)
        rows.append(row)
    if as_json:
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        for line in _table(rows):
            click.echo(line)
    return 1 if any(row["problem"] for row in rows) else 0


@command.command("show")
@click.argument("name", required=False)
@saying_options(printed="the card as JSON instead of text", quiet=False)
def show_command(name: str | None, as_json: bool, **_: Any) -> int:
    """Show the card of the weights NAME; of the default ones if no name is given.

    \b
    Example:
        spt-explain weights show resandi-robust
    """
    from spt_explain.resandi.weights import find_weights

    weights = find_weights(name)
    if as_json:
        click.echo(json.dumps(weights.card, indent=1, ensure_ascii=False))
    else:
        for line in _card(weights):
            click.echo(line)
    return 0


@command.command("verify")
@click.argument("names", nargs=-1, metavar="[NAME…]")
@saying_options(printed=_TEXT)
def verify_command(names: tuple[str, ...], quiet: bool, as_json: bool, **_: Any) -> int:
    """Check the files of the weights NAME… against their SHA-256; of all weights by default.

    \b
    Example:
        spt-explain weights verify

    Leaves with 1 if a file is missing, damaged or was changed.
    """
    from spt_explain.errors import SptError
    from spt_explain.resandi.weights import find_weights, list_weights, unknown

    known = list_weights()
    for name in names:
        if name not in known:
            raise unknown(name)
    rows: list[dict[str, Any]] = []
    for name in dict.fromkeys(names or known):
        row: dict[str, Any] = {"name": name, "healthy": True, "problem": ""}
        try:
            weights = find_weights(name)
            weights.verify()
            row |= {"files": len(weights.files), "sha256": weights.sha256}
        except SptError as error:
            row |= {"healthy": False, "problem": str(error)}
        rows.append(row)
    if as_json:
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        width = max(len(row["name"]) for row in rows)
        for row in rows:
            if row["problem"]:
                click.echo(f"{row['name']:<{width}}  damaged: {row['problem']}", err=quiet)
            elif not quiet:
                said = f"{row['files']} file{'s'[: row['files'] != 1]}"
                click.echo(f"{row['name']:<{width}}  hashes hold ({said}, {row['sha256'][:8]}…)")
    return 0 if all(row["healthy"] for row in rows) else 1


@command.command("export")
@click.argument("name")
@options_from(ExportOptions)
@saying_options("the file if it exists", _TEXT)
def export_command(name: str, overwrite: bool, quiet: bool, as_json: bool, **options: Any) -> int:
    """Write the weights NAME, with card and hashes, to one zip file.

    \b
    Example:
        spt-explain weights export my-lab -o my-lab.zip
    """
    from spt_explain.errors import SptError
    from spt_explain.resandi.exchange import export_weights

    output = ExportOptions.taken_from(options).output
    if output == "-":
        raise SptError("weights are not written to standard output; give a file with -o.")
    path = export_weights(name, output, overwrite=overwrite)
    if as_json:
        document = {"name": name, "output": str(path), "bytes": path.stat().st_size}
        click.echo(json.dumps(document, indent=1, ensure_ascii=False))
    elif not quiet:
        click.echo(f"→ {path} ({_megabytes(path.stat().st_size)})", err=True)
    return 0


@command.command("import")
@click.argument("source", metavar="FILE|FOLDER")
@options_from(ImportOptions)
@saying_options("own weights of that name", _TEXT)
def import_command(source: str, overwrite: bool, quiet: bool, as_json: bool, **options: Any) -> int:
    """Take in weights: a zip from weights export, or that zip's content in a folder.

    \b
    Example:
        spt-explain weights import my-lab.zip --name my-lab-2

    A .safetensors file with its card (.json) beside it will do as well; it comes without hashes to
    compare. Nothing in the files is run: hashes, names and shapes are checked, and what is
    incomplete, changed or unexpected is refused.
    """
    from spt_explain.resandi.exchange import import_weights

    name = ImportOptions.taken_from(options).name
    weights = import_weights(source, name=name, overwrite=overwrite)
    if as_json:
        document = {"name": weights.name, "folder": str(weights.folder), "sha256": weights.sha256}
        click.echo(json.dumps(document, indent=1, ensure_ascii=False))
    elif not quiet:
        click.echo(f"{weights.describe()}\n→ {weights.folder}", err=True)
        click.echo(f"Use them: spt-explain classify --weights {weights.name} …", err=True)
    return 0


@command.command("remove")
@click.argument("name")
@click.option("--yes", "-y", is_flag=True, help="Remove without asking.")
@saying_options(printed="")
def remove_command(name: str, yes: bool, quiet: bool, **_: Any) -> int:
    """Delete your own weights NAME. Those that are part of spt-explain stay.

    \b
    Example:
        spt-explain weights remove my-lab
    """
    from spt_explain.errors import SptError
    from spt_explain.resandi.store import check_removable, remove_weights

    folder = check_removable(name)
    if not yes:
        if sys.stdin is None or not sys.stdin.isatty():
            raise SptError(
                f"give --yes to remove {name}: there is no terminal to ask on.", code="conflict"
            )
        if not click.confirm(f"Remove {name} ({folder})?", err=True):
            click.echo("Nothing was removed.", err=True)
            return 0
    remove_weights(name)
    if not quiet:
        click.echo(f"{name} is removed.", err=True)
    return 0


def _table(rows: list[dict[str, Any]]) -> Iterator[str]:
    lines = [["name", "version", "from", "size", "accuracy", "date"]]
    for row in rows:
        kind = "own" if row["own"] else "shipped, default" if row["default"] else "shipped"
        if row["problem"]:
            lines.append([row["name"], "?", kind, "damaged", "", ""])
            continue
        accuracy = "" if row["accuracy"] is None else f"{100 * row['accuracy']:.1f} %"
        date = _clean(row["created"])[:10]
        size = _megabytes(row["bytes"])
        lines.append([row["name"], _clean(row["version"]), kind, size, accuracy, date])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        cells = [
            f"{text:>{width}}" if i in (3, 4) else f"{text:<{width}}"
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
    for row in rows:
        if row["problem"]:
            yield row["problem"]


def _card(weights: Weights) -> Iterator[str]:
    """Say what a card holds, line by line."""
    from spt_explain.errors import SptError

    card = weights.card
    kind = "your own" if weights.own else "part of spt-explain"
    created = _clean(_created(card))[:10]
    yield f"{weights.name} {_clean(weights.version)} · {kind}{f' · {created}' if created else ''}"
    yield ""
    yield from _field("architecture", _pairs(card.get("architecture")))
    try:
        yield from _field("parameters", f"{weights.count_parameters():,}")
    except SptError as error:
        yield from _field("parameters", f"unknown: {error}")
    for key, value in card.items():
        if key in _SHOWN or value in (None, "", {}, []):
            continue
        if isinstance(value, dict) and any(isinstance(v, (dict, list)) for v in value.values()):
            yield from _field(key, f"{_pairs(value)} … (all of it: --json)".removeprefix(" … "))
        else:
            yield from _field(key, _pairs(value, key))
    yield from _accuracy(card.get("accuracy"))
    yield from _field("files", f"{len(weights.files)}, {_megabytes(weights.size)}")
    for file, sha256 in weights.files.items():
        yield f"    {file}  sha256 {sha256}"
    yield from _field("sha256", weights.sha256)
    yield from _field("folder", str(weights.folder))


def _accuracy(accuracy: Any) -> Iterator[str]:
    if not isinstance(accuracy, dict) or not accuracy:
        return
    yield from _field("accuracy", _pairs(accuracy))
    for key, label in (("by_noise", "1/SNR"), ("by_length", "points")):
        shares = accuracy.get(key)
        if not isinstance(shares, dict):
            continue
        items = [(_clean(k), v) for k, v in shares.items() if isinstance(v, (int, float))]
        cells = [(k, f"{100 * v:.1f} %") for k, v in items]
        widths = [max(len(k), len(v)) for k, v in cells]
        for index, head in enumerate((label, "")):
            said = "  ".join(f"{c[index]:>{w}}" for c, w in zip(cells, widths, strict=True))
            yield f"    {head:<8}{said}"


def _field(label: str, text: str) -> Iterator[str]:
    import textwrap

    lines = textwrap.wrap(text, _WIDTH - 14) or [""]
    yield f"{_clean(label):<13} {lines[0]}"
    for line in lines[1:]:
        yield f"{'':<13} {line}"


def _pairs(value: Any, key: str = "") -> str:
    """Return a value of a card in words: plain ones of a dict, one after the other."""
    if isinstance(value, dict):
        said = [
            f"{'time' if name == 'seconds' else _clean(name)} {_scalar(name, item)}"
            for name, item in value.items()
            if not isinstance(item, dict) and item is not None and not _nested(item)
        ]
        return " · ".join(said)
    return _scalar(key, value)


def _nested(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value)


def _scalar(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key == "seconds" and isinstance(value, (int, float)):
        minutes, seconds = divmod(round(value), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{f'{hours} h ' * bool(hours)}{f'{minutes} min ' * bool(minutes)}{seconds} s"
    if isinstance(value, int) and key != "seed":
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(_scalar("", item) for item in value)
    return _clean(str(value))


def _created(card: dict[str, Any]) -> str:
    created = card.get("created", "")
    return created if isinstance(created, str) else ""


def _clean(text: str) -> str:
    """Return a text without what would steer a terminal; cards come from anywhere."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"
