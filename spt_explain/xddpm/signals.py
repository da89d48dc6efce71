"""The signal: one or several numbers, or a category, of each clip or of each of its frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch.nn import functional

from spt_explain.errors import SptError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

Per = Literal["clip", "frame"]
Kind = Literal["number", "category"]

_NONE = -1
"""Code of a category that is not known."""


@dataclass(frozen=True)
class Signal:
    """What is predicted, and how it is standardised.

    Attributes
    ----------
    names : tuple of str
        Of the values of a clip, or of a frame.
    per : {"clip", "frame"}
        What has one set of values.
    kind : {"number", "category"}
        Numbers are standardised and predicted by least squares, categories by cross-entropy.
    categories : tuple of str
        For kind = category, in the order of the outputs.
    mean, std : tuple of float
        Of numbers. The mean is of each column of the flattened values, so that a trend over the
        frames of all clips explains nothing; the standard deviation is of each value.
    """

    names: tuple[str, ...]
    per: Per = "clip"
    kind: Kind = "number"
    categories: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def outputs(self) -> int:
        """Outputs of the regressor for each clip or frame."""
        return len(self.categories) if self.kind == "category" else len(self.names)

    @classmethod
    def fit(
        cls,
        values: ArrayLike,
        names: tuple[str, ...] = (),
        *,
        per: Per = "clip",
        kind: Kind = "number",
    ) -> Signal:
        """Measure a signal on the clips that are trained on.

        Parameters
        ----------
        values : array_like, shape (clips,), (clips, values), (clips, frames) or
            (clips, frames, values)
            The latter two with ``per = "frame"``. NaN (of categories: an empty text) where the
            signal is not known.
        names : tuple of str, optional
            One for each value.
        per, kind
            See the class.

        Raises
        ------
        SptError
            If a value never varies or is infinite, or there are fewer than two categories.
        """
        if kind == "category":
            codes = np.asarray(values)
            if codes.ndim > (2 if per == "frame" else 1):
                raise SptError(
                    f"a categorical signal has the shape {codes.shape}; expected one category for "
                    f"each {per}."
                )
            texts = sorted({text for text in map(_text, codes.reshape(-1)) if text})
            if len(texts) < 2:
                raise SptError(
                    f"the signal has {len(texts)} category in the clips to train on; expected at "
                    "least 2. Add movies of another category."
                )
            if len(texts) > 256:
                raise SptError(
                    f"the signal has {len(texts)} categories; expected at most 256. If it is a "
                    'number, say so: kind = "number".',
                    code="wrong-kind",
                )
            return cls(names or ("signal",), per, kind, tuple(texts))
        table = _table(values, per)
        if np.isinf(table).any():
            raise SptError("the signal has infinite values; expected numbers, or nothing.")
        names = names or tuple(f"signal {i + 1}" for i in range(table.shape[-1]))
        if len(names) != table.shape[-1]:
            raise SptError(
                f"the signal has {table.shape[-1]} values for each {per} and {len(names)} names."
            )
        known = np.isfinite(table)
        if not known.any((0, 1)).all():
            raise SptError("the signal has a value that is nowhere given in the clips to train on.")
        filled = np.where(known, table, 0.0)
        overall = filled.sum((0, 1)) / known.sum((0, 1))
        counts = known.sum(0)
        mean = np.where(counts, filled.sum(0) / np.maximum(counts, 1), overall)
        rest = np.where(known, table - mean, 0.0)
        std = np.sqrt((rest**2).sum((0, 1)) / known.sum((0, 1)))
        for name, deviation, size in zip(names, std, np.abs(overall), strict=True):
            if not deviation > 1e-9 * max(size, 1e-30):
                raise SptError(
                    f"{name} is the same in all clips to train on; expected a signal that varies "
                    "from clip to clip. Add movies in which it differs."
                )
        return cls(
            names, per, kind, mean=tuple(map(float, mean.reshape(-1))), std=tuple(map(float, std))
        )

    def encode(self, values: ArrayLike) -> NDArray[np.float32]:
        """Return targets, (clips, columns) float32: standardised numbers or codes of categories.

        A value that is not known is NaN, or the code -1.

        Raises
        ------
        SptError
            If there is another category than those known.
        """
        if self.kind == "category":
            array = np.asarray(values)
            codes = {text: i for i, text in enumerate(self.categories)} | {"": _NONE}
            try:
                flat = [codes[_text(value)] for value in array.reshape(-1)]
            except KeyError as error:
                raise SptError(
                    f"the signal has the category {error.args[0]!r}; the clips trained on have "
                    f"only {', '.join(self.categories)}."
                ) from error
            return np.asarray(flat, np.float32).reshape(array.shape[0], -1)
        table = _table(values, self.per)
        frames = len(self.mean) // len(self.names)
        if table.shape[1:] != (frames, len(self.names)):
            raise SptError(
                f"the signal has the shape {table.shape[1:]} for each clip; expected "
                f"{(frames, len(self.names))}."
            )
        standard = (table - np.reshape(self.mean, (frames, -1))) / np.asarray(self.std)
        return np.asarray(standard.reshape(len(table), -1), np.float32)

    def decode(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return predictions, (clips, columns), in the signal's units; logits of categories."""
        if self.kind == "category":
            return outputs
        frames = len(self.mean) // len(self.names)
        std = np.tile(np.asarray(self.std, np.float32), frames)
        return np.asarray(outputs * std + np.asarray(self.mean, np.float32), np.float32)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of what is known: squared error, or cross-entropy in nats."""
        if self.kind == "category":
            logits = outputs.reshape(-1, len(self.categories))
            codes = targets.reshape(-1).long()
            known = int((codes != _NONE).sum())
            total = functional.cross_entropy(logits, codes, ignore_index=_NONE, reduction="sum")
            return total / max(known, 1)
        known_at = torch.isfinite(targets)
        error = torch.where(known_at, outputs - torch.where(known_at, targets, 0.0), 0.0)
        return (error**2).sum() / known_at.sum().clamp(min=1)

    def plain_loss(self, targets: Tensor) -> float:
        """Return the loss of the best constant: the mean of each column, or the shares."""
        if self.kind == "category":
            columns = []
            known = 0
            for column in targets.T:
                codes = column[column != _NONE].long()
                counts = torch.bincount(codes, minlength=len(self.categories)).double()
                part = counts[counts > 0]
                columns.append(float(-(part * (part / part.sum()).log()).sum()))
                known += len(codes)
            return sum(columns) / max(known, 1)
        known_at = torch.isfinite(targets)
        filled = torch.where(known_at, targets, 0.0).double()
        mean = filled.sum(0) / known_at.sum(0).clamp(min=1)
        rest = torch.where(known_at, filled - mean, 0.0)
        return float((rest**2).sum() / known_at.sum().clamp(min=1))

    def skill(self, outputs: Tensor, targets: Tensor) -> float:
        """Return R² (of categories: McFadden's), 1 - loss / loss of the best constant.

        Values count alike, each in units of its standard deviation. NaN where nothing varies.
        """
        return self._skill(outputs, targets, self.plain_loss(targets))

    def _skill(self, outputs: Tensor, targets: Tensor, plain: float) -> float:
        if plain <= 1e-12:
            return float("nan")
        return 1 - float(self.loss(outputs.double(), targets.double())) / plain

    def chance(self, outputs: Tensor, targets: Tensor, *, draws: int = 300, seed: int = 0) -> float:
        """Return the skill that outputs given to others than their own reach in 1 of 100 draws.

        A permutation test: with few clips held out, a regressor that has learnt nothing may seem
        to predict; what it reaches then is below this in 99 of 100 cases.
        """
        generator = torch.Generator().manual_seed(seed)
        plain = self.plain_loss(targets)
        others = [
            self._skill(outputs[torch.randperm(len(outputs), generator=generator)], targets, plain)
            for _ in range(draws)
        ]
        return float(np.quantile(others, 0.99))

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, for a card."""
        return {
            "names": list(self.names),
            "per": self.per,
            "kind": self.kind,
            "categories": list(self.categories),
            "mean": list(self.mean),
            "std": list(self.std),
        }


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:g}"
    return str(value).strip()


def _table(values: ArrayLike, per: Per) -> NDArray[np.float64]:
    """Return (clips, frames or 1, values)."""
    try:
        table = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise SptError(
            'the signal holds text; expected numbers. If these are categories: kind = "category".',
            code="wrong-kind",
        ) from error
    least = 2 if per == "frame" else 1
    if table.ndim not in (least, least + 1) or 0 in table.shape:
        raise SptError(
            f"the signal has the shape {table.shape}; expected one or more values for each {per}."
        )
    if table.ndim == least:
        table = table[..., None]
    return table if per == "frame" else table[:, None, :]
