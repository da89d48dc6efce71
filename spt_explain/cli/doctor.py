"""``spt-explain doctor``: what this machine has, what will be used, and why."""

from __future__ import annotations

import json
from typing import Any

import click

from spt_explain.cli.options import options_from, saying_options
from spt_explain.diagnosis import DiagnosisOptions, diagnose


@click.command("doctor")
@options_from(DiagnosisOptions)
@saying_options(printed="JSON instead of text", quiet=False)
def command(as_json: bool, **options: Any) -> int:
    """Say which versions, devices, weights and folders there are, and what will be used.

    \b
    Example:
        spt-explain doctor

    Leaves with 1 if something is broken: a weights file whose hash does not hold, a library that
    does not load, and with --verify a device whose outputs are wrong.
    """
    report = diagnose(**dict(DiagnosisOptions.taken_from(options)))
    if as_json:
        click.echo(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        for line in _lines(report):
            click.echo(line)
    return 0 if report["healthy"] else 1


def _lines(report: dict[str, Any]) -> list[str]:
    lines = [f"spt-explain {report['version']} · Python {report['python']} · {report['platform']}"]
    lines += ["", "Libraries"]
    width = max(len(name) for name in report["libraries"])
    lines += [f"  {name:<{width}}  {text}" for name, text in report["libraries"].items()]
    lines += ["", "Devices"]
    for device in report["devices"]:
        mark = "used by default" if device["default"] else "usable"
        if device["below_points"]:
            mark = f"used by default to classify fewer than {device['below_points']:,} points"
        text = mark if device["usable"] else f"not usable: {device['reason']}"
        lines.append(f"  {device['backend']:<6} {device['device']:<5} {text}")
    lines += ["", "Weights"]
    for weights in report["weights"]:
        state = "hashes hold" if weights["healthy"] else weights["problem"]
        default = " (default)" if weights["default"] else ""
        lines.append(f"  {weights['description']}{default}: {state}")
    if report["verified"]:
        lines += [
            "",
            "Compared with the reference before (spt-explain doctor --verify does it anew)",
        ]
        lines += [
            f"  {one['what']}: {one['shapes']} batch shapes, off by at most {one['difference']:.1e}"
            for one in report["verified"]
        ]
    if report["verification"]:
        lines += ["", "Compared with the reference now"]
        lines += [f"  {one['text']}" for one in report["verification"]]
    lines += ["", "Folders"]
    lines += [f"  {name:<8} {path}" for name, path in report["folders"].items()]
    lines += ["", "All is well." if report["healthy"] else "Something is broken; see above."]
    return lines
