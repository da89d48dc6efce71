"""One fit to tracks: regressor, control with shuffled signal, then the mask before the former."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from spt_explain.errors import SptError, option
from spt_explain.xddpm.signals import Signal
from spt_explain.xddpm.split import Split, split
from spt_explain.xddpm.staged import StagedRun
from spt_explain.xddpm.state import RelevanceState
from spt_explain.xddpm.tracks.model import TrackFitted, TrackRelevanceModel
from spt_explain.xddpm.tracks.network import TrackMask, TrackRegressor, TrackShape
from spt_explain.xddpm.tracks.removal import Removal, random_keep, turned
from spt_explain.xddpm.tracks.steps import Steps, common_spread, scaled_steps

if TYPE_CHECKING:
    from torch import Tensor

    from spt_explain.xddpm.tracks.labels import SignalTracks
    from spt_explain.xddpm.tracks.recipe import TrackRelevanceRecipe

_SMOOTHING = 0.95
_MOST_MEASURED = 150
"""Tracks, evenly spread, that anything is measured on while fitting."""
_NEIGHBOURS = 3
"""Batches are drawn from tracks of about the same length, so many times as many."""
_FEWEST_TRACKS = 10
_MOST_LEVEL = 12.0
"""Largest level of the mask, either way."""


class TrackRun(StagedRun):
    """One fit: its tracks, its networks, its state."""

    data_name = "tracks"
    stages = ("regressor", "control", "mask", "done")

    def __init__(
        self, tracks: SignalTracks, recipe: TrackRelevanceRecipe, device: str = "cpu"
    ) -> None:
        self.recipe, self.device, self.tracks = recipe, device, tracks
        self.seed, self.schedule = recipe.seed, recipe.schedule
        self.shares = {"control": recipe.regressor.control_share}
        kind = tracks.kind if recipe.data.kind == "auto" else recipe.data.kind
        self.split: Split = _split(tracks, recipe)
        train, held = self.split.train, self.split.validation
        values = tracks.values if kind == "category" else tracks.numbers()
        self.signal = Signal.fit(values[train], tracks.names, kind=kind)
        targets = self.signal.encode(values)
        self.spread = 0.0
        if recipe.data.scale == "all":
            self.spread = common_spread(*tracks.take(train))
        steps = scaled_steps(tracks.positions, tracks.offsets, recipe.data.scale, self.spread)
        self.train, self.held = steps.take(train), steps.take(held)
        self.train_y, self.held_y = targets[train], targets[held]
        if not self.signal.plain_loss(torch.from_numpy(self.held_y)) > 1e-6:
            raise SptError(
                "the signal is the same in all tracks held out; expected one that varies. Give "
                "more tracks, or hold out more of them (validation in the recipe)."
            )
        self.order = np.argsort(self.train.lengths, kind="stable")
        self.shuffled = np.random.default_rng([recipe.seed, 1]).permutation(len(train))
        shape = TrackShape(
            outputs=self.signal.outputs,
            width=recipe.regressor.width,
            depth=recipe.regressor.depth,
            mask=recipe.mask.network,
            mask_width=recipe.mask.width,
            mask_time=recipe.mask.time,
        )
        torch.manual_seed(recipe.seed)
        self.regressor, self.control = TrackRegressor(shape), TrackRegressor(shape)
        self.masker = TrackMask(shape)
        self.removal = Removal(recipe.mask.removed, recipe.mask.noise, recipe.mask.kind)
        self.masker.level.fill_(self.removal.start(recipe.mask.opening))
        self.networks = nn.ModuleDict(
            {"regressor": self.regressor, "control": self.control, "mask": self.masker}
        ).to(device)
        self.fixed = {id(p) for p in self.networks.parameters() if not p.requires_grad}
        digest = hashlib.sha256(json.dumps(recipe.model_dump()).encode())
        digest.update(repr((self.signal, self.spread, list(tracks.groups))).encode())
        digest.update(np.ascontiguousarray(steps.values).tobytes())
        digest.update(targets.tobytes())
        self.state = RelevanceState(fingerprint=digest.hexdigest())
        self.optimizer = self._begin()

    def _begin(self) -> torch.optim.AdamW:
        """Return the optimiser of the current stage."""
        recipe, stage = self.recipe, self.state.stage
        module: nn.Module = self.regressor if stage == "regressor" else self.control
        rate = recipe.regressor.learning_rate
        if stage in ("mask", "done"):
            module, rate = self.masker, recipe.mask.learning_rate
        self.networks.requires_grad_(False).eval()
        parameters = [p for p in module.parameters() if id(p) not in self.fixed]
        return self._optimizer([([p.requires_grad_(True) for p in parameters], rate)])

    def _prepare(self) -> None:
        if self.state.stage == "mask":
            self._measure_open()

    def _batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return tracks of about one length, cut at random to the shortest's."""
        state, size = self.state, self.recipe.schedule.batch
        rng = self._rng()
        count = len(self.train)
        near = min(count, _NEIGHBOURS * size)
        first = int(rng.integers(-near // 2, count - near // 2))
        among = self.order[np.clip(np.arange(first, first + near), 0, count - 1)]
        chosen = rng.choice(among, size, replace=len(among) < size)
        lengths = self.train.lengths[chosen]
        least = min(int(lengths.min()), self.recipe.data.longest)
        starts = self.train.offsets[chosen] + (rng.random(size) * (lengths - least + 1)).astype(int)
        x = self.train.values[starts[:, None] + np.arange(least)].transpose(0, 2, 1)
        rows = self.shuffled[chosen] if state.stage == "control" else chosen
        steps = torch.from_numpy(np.ascontiguousarray(x)).to(self.device)
        # turned axes would no longer have a scale of their own
        if self.recipe.regressor.rotate and self.recipe.data.scale != "axis":
            steps = turned(steps, generator)
        return steps, torch.from_numpy(self.train_y[rows]).to(self.device)

    def _losses(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor | None]:
        x, y = self._batch(generator)
        if self.state.stage == "mask":
            self.masker.train()
            return self._mask_loss(x, y, generator)
        how = self.recipe.regressor
        keep = random_keep(x, how.augment, how.whole, generator)
        network = self.regressor if self.state.stage == "regressor" else self.control
        loss = self.signal.loss(network(self.removal.kept(x, keep, generator)), y)
        return loss, loss, None

    @property
    def target(self) -> float:
        """Loss that the mask may leave: `keep_r2` of what the open bottleneck explains."""
        state, keep = self.state, self.recipe.mask.keep_r2
        return state.plain_loss - keep * (state.plain_loss - state.open_loss)

    def _mask_loss(
        self, x: Tensor, y: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        state, how = self.state, self.recipe.mask
        z, mask, nats = self.removal.pass_on(x, self.masker(x), generator)
        said = self.signal.loss(self.regressor(z), y)
        state.smoothed = _SMOOTHING * state.smoothed + (1 - _SMOOTHING) * float(said.detach())
        allowed = max(self.target - state.open_loss, 0.05 * state.plain_loss, 1e-6)
        excess = (state.smoothed - self.target) / allowed
        state.log_weight += how.control_rate * min(max(excess, -1.0), 1.0)
        state.log_weight = min(max(state.log_weight, -_MOST_LEVEL), _MOST_LEVEL)
        self.masker.level.fill_(state.log_weight)
        return said + how.kl * nats.mean(), said, mask.mean()

    def _measure_open(self) -> None:
        """Measure what the regressor leaves unexplained when nearly all passes."""
        state, model = self.state, self._bare()
        some = _evenly(len(self.train))
        steps, y = self.train.take(some), torch.from_numpy(self.train_y[some])
        keep = np.full(len(steps.values), 0.99, np.float32)
        outputs = torch.from_numpy(model.outputs(model.with_removed(steps, keep, 3)))
        state.plain_loss = self.signal.plain_loss(y)
        state.open_loss = min(float(self.signal.loss(outputs, y)), state.plain_loss)
        state.smoothed = state.open_loss
        state.log_weight = self.removal.start(self.recipe.mask.opening)

    def _measure(self) -> None:
        state = self.state
        if state.stage == "regressor":
            state.regressor_steps = state.total
            some = _evenly(len(self.held))
            outputs = torch.from_numpy(self._bare().outputs(self.held.take(some)))
            y = torch.from_numpy(self.held_y[some])
            state.r2 = self._finite(self.signal.skill(outputs, y))
            state.chance_r2 = self._finite(self.signal.chance(outputs, y))
            some = _evenly(len(self.train))
            state.train_r2 = self._r2(self._bare(), self.train.take(some), self.train_y[some])
        elif state.stage == "control":
            rng = np.random.default_rng([self.recipe.seed, 5])
            shuffled = self.held_y[rng.permutation(len(self.held))]
            state.shuffled_r2 = self._r2(self._bare(self.control), self.held, shuffled)
            self._insist_on_prediction()

    def _insist_on_prediction(self) -> None:
        self._insist(
            self.recipe.regressor.min_r2,
            self.tracks.held_out_words(self.split.held_out),
            fails="Check that each value belongs to its track, take more or longer tracks, or "
            f"train for more minutes ({option('minutes')}).",
            leads="Take more tracks.",
        )

    def _r2(self, model: TrackRelevanceModel, steps: Steps, y: np.ndarray[Any, Any]) -> float:
        some = _evenly(len(steps))
        return self._finite(model.skill(steps.take(some), y[some]))

    def _bare(self, regressor: TrackRegressor | None = None) -> TrackRelevanceModel:
        return TrackRelevanceModel(
            regressor=regressor or self.regressor,
            masker=self.masker,
            removal=self.removal,
            signal=self.signal,
            scale=self.recipe.data.scale,
            spread=self.spread,
            unit=self.tracks.unit if self.recipe.data.scale == "all" else "",
            longest=self.recipe.data.longest,
            name=self.recipe.name,
        )

    def model(self) -> TrackRelevanceModel:
        """Return the fitted model, with what was measured on tracks held out."""
        state, model = self.state, self._bare()
        self.networks.eval()
        some = _evenly(len(self.held))
        steps, y = self.held.take(some), self.held_y[some]
        curve, random = model.curve(steps, y, keep_r2=self.recipe.mask.keep_r2)
        accuracy = None
        if self.signal.kind == "category":
            known = y[:, 0] >= 0
            right = model.outputs(steps).argmax(1)[known] == y[known, 0]
            accuracy = float(right.mean())
        lengths = self.train.lengths
        model.fitted = TrackFitted(
            r2=state.r2,
            shuffled_r2=state.shuffled_r2,
            train_r2=state.train_r2,
            removed_r2=model.skill(steps, y, np.zeros(len(steps.values), np.float32), draws=4),
            accuracy=accuracy,
            tracks=len(self.train),
            held_out=self.tracks.held_out_words(self.split.held_out),
            regressor_steps=state.regressor_steps,
            seconds=state.elapsed_s,
            mean_mask=float(model.maps(steps).contribution.mean()),
            curve=curve,
            random_r2=random,
            lengths=(int(lengths.min()), int(lengths.max())),
            recipe=self.recipe.model_dump(),
            source=self.tracks.report,
        )
        return model


def _evenly(count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.unique(np.linspace(0, count - 1, min(count, _MOST_MEASURED)).round().astype(np.int64))


def _split(tracks: SignalTracks, recipe: TrackRelevanceRecipe) -> Split:
    """Hold out whole files, or whole tracks of one file: never a piece of a track."""
    share, seed = recipe.data.validation, recipe.seed
    if tracks.files > 1:
        return split(tracks.groups, share, seed=seed)
    names, of = np.unique(np.asarray(tracks.groups, dtype=str), return_inverse=True)
    if len(names) < _FEWEST_TRACKS:
        raise SptError(
            f"there are {len(names)} tracks with a signal; expected at least {_FEWEST_TRACKS} to "
            "learn from and to hold some out. Give more tracks, or more files."
        )
    out = np.random.default_rng([seed, 7]).permutation(len(names))
    out = np.sort(out[: max(1, round(share * len(names)))])
    held = np.isin(of, out)
    return Split(np.flatnonzero(~held), np.flatnonzero(held), tuple(str(names[i]) for i in out))
