"""What a figure says of an explained track, in plain words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

METHODS: dict[str, str] = {
    "input-x-gradient": "input × gradient",
    "gradcam": "Grad-CAM",
    "layercam": "LayerCAM",
    "integrated-gradients": "integrated gradients",
    "occlusion": "occlusion",
}


def value_of(track: pd.Series[Any], name: str, otherwise: Any) -> Any:
    """Return a value of a row, or `otherwise` where there is none (absent, NaN, None)."""
    import pandas as pd

    value = track.get(name, None)
    return otherwise if pd.isna(value) else value


def name_of(track: pd.Series[Any], name: str) -> str:
    """Return a text of a row, "" where there is none."""
    return str(value_of(track, name, ""))


def headline(track: pd.Series[Any], *, whole: bool = True) -> str:
    """Say which track it is, its class and how probable that is; its piece unless it is `whole`."""
    segment = int(value_of(track, "segment", 0))
    piece = f", piece {segment}" if segment or not whole else ""
    given, status = name_of(track, "class"), name_of(track, "status")
    probability = float(value_of(track, "probability", math.nan))
    sure = f", probability {percent(probability)}" if math.isfinite(probability) else ""
    verdict = f"{given}{sure}" if given else "no class"
    if status == "undetermined":
        verdict = f"undetermined, most likely {verdict}"
    elif status == "immobile":
        verdict = f"flagged immobile; {verdict}"
    points = int(value_of(track, "n_points", 0))
    length = f" · {points:,} points" if points else ""
    return f"Particle {value_of(track, 'particle', '?')}{piece}: {verdict}{length}"


def scores_words(track: pd.Series[Any]) -> str:
    """Say what the scores are for, where they come from and how fine they are."""
    method = name_of(track, "method")
    layer = name_of(track, "layer")
    by = METHODS.get(method, method)
    where = f" at {layer.replace('block', 'block ')} of the network" if layer else ""
    text = f"Scores for {name_of(track, 'explained') or 'the class'}"
    text += f" by {by}{where}" if by else ""
    resolution = float(value_of(track, "resolution_frames", math.nan))
    nodes = float(value_of(track, "nodes", math.nan))
    if math.isfinite(resolution):
        frames = f"{resolution:.0f}" if resolution >= 10 else f"{resolution:.2g}"
        text += f": one score covers {frames} frame{'' if frames == '1' else 's'}"
        if layer and math.isfinite(nodes):
            text += f", {nodes:.0f} score{'' if nodes == 1 else 's'} along the track"
    return f"{text}."


def check_words(track: pd.Series[Any], share: float = 0.2) -> str:
    """Say how the erasure check came out; `share` of the frames were erased."""
    check = name_of(track, "check")
    loss, chance, spread = (
        float(value_of(track, name, math.nan))
        for name in ("loss_top", "loss_random", "loss_random_sd")
    )
    if check == "not checked" or not (math.isfinite(loss) and math.isfinite(chance)):
        return "Not checked by erasing frames."
    around = f" ± {_two(spread)}" if math.isfinite(spread) else ""
    if loss >= 0.005:
        cost = f"costs {loss:.2f} of the probability, at random {_two(chance)}{around}"
    elif loss > -0.005:
        cost = f"costs none of the probability, at random {_two(chance)}{around}"
    else:
        cost = f"raises the probability by {-loss:.2f}, at random it costs {_two(chance)}{around}"
    text = f"Check: erasing the top {100 * share:.3g} % of frames {cost}"
    if check == "no better than random":
        return f"{text}: no better than random."
    return f"{text}: passed." if check == "passed" else f"{text}."


def percent(value: float) -> str:
    """Return a probability in per cent, never rounded up to certainty."""
    if 0.995 <= value < 0.9995:
        return f"{100 * value:.1f} %"
    return "> 99.9 %" if value >= 0.9995 else f"{100 * value:.0f} %"


def _two(value: float) -> str:
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")
