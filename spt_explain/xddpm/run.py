"""One fit: its data on the device, its networks, its steps, its checkpoints."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from spt_explain.errors import SptError
from spt_explain.xddpm.augment import augmented, random_masks, turned
from spt_explain.xddpm.bottleneck import Bottleneck, printed_term
from spt_explain.xddpm.model import Fitted, RelevanceModel
from spt_explain.xddpm.network import MaskNetwork, Regressor, Shape
from spt_explain.xddpm.scale import Scale
from spt_explain.xddpm.signals import Signal
from spt_explain.xddpm.split import Split, split
from spt_explain.xddpm.staged import StagedRun
from spt_explain.xddpm.state import STAGES, RelevanceState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    from spt_explain.xddpm.recipe import RelevanceRecipe

_SMOOTHING = 0.95
"""Of the mean of the loss that the control of the mask looks at."""
_MOST_MEASURED = 512
"""Training clips that the regressor is measured on."""
_MOST_HELD = 96
"""Held-out clips, evenly spread, that the sufficiency curve is measured on."""
_OWN_SHARE = 0.7
"""Of the judge's clips, those whose pixels are missing by contribution; of the rest, at random."""
_LOG_WEIGHT = (math.log(1e-3), math.log(1e5))


class Run(StagedRun):
    """One fit: its data on the device, its networks, its state."""

    data_name = "movies"
    stages = STAGES

    def __init__(
        self,
        clips: NDArray[np.generic],
        values: ArrayLike,
        groups: Sequence[str],
        recipe: RelevanceRecipe,
        names: tuple[str, ...],
        device: str,
    ) -> None:
        self.recipe = recipe
        self.device, self.seed, self.schedule = device, recipe.seed, recipe.schedule
        self.shares = {"control": recipe.regressor.control_share, "judge": recipe.judge.share}
        table = np.asarray(values)
        self.split: Split = split(groups, recipe.data.validation, seed=recipe.seed, values=table)
        train, held = self.split.train, self.split.validation
        self.signal = Signal.fit(table[train], names, per=recipe.data.per, kind=recipe.data.kind)
        self.scale = Scale.fit(clips[train], recipe.data.scale, percentile=recipe.data.percentile)
        scaled = self.scale.apply(clips)
        if not np.isfinite(scaled).all():
            raise SptError(
                "the movies hold pixels that are not finite numbers; expected finite values. "
                "Export the movies again without NaN or infinity."
            )
        targets = self.signal.encode(table)
        self.frames, self.size = scaled.shape[1], scaled.shape[2:]
        if recipe.data.per == "frame":
            per_frame = targets.shape[1] / (
                1 if recipe.data.kind == "category" else len(self.signal.names)
            )
            if per_frame != self.frames:
                raise SptError(
                    f"the signal has values for {per_frame:g} frames of each clip; expected "
                    f"{self.frames}."
                )
        self.train_x = torch.from_numpy(scaled[train]).to(device)
        self.train_y = torch.from_numpy(targets[train]).to(device)
        self.held_x = torch.from_numpy(scaled[held]).to(device)
        self.held_y = torch.from_numpy(targets[held]).to(device)
        if not self.signal.plain_loss(self.held_y) > 1e-6:
            raise SptError(
                "the signal is the same in all clips held out "
                f"({', '.join(self.split.held_out[:3])}); expected one that varies. Hold out more "
                "movies (validation in the recipe), or add movies."
            )
        rng = np.random.default_rng([recipe.seed, 1])
        self.shuffled = torch.from_numpy(rng.permutation(len(train))).to(device)
        self.held_shuffled = torch.from_numpy(rng.permutation(len(held))).to(device)
        shape = Shape(
            outputs=self.signal.outputs,
            per_frame=recipe.data.per == "frame",
            width=recipe.regressor.width,
            mask_width=recipe.mask.width,
            coordinates=recipe.regressor.coordinates,
            norm=recipe.regressor.norm,
        )
        torch.manual_seed(recipe.seed)
        self.regressor = Regressor(shape)
        self.control = Regressor(shape)
        self.judge = Regressor(shape)
        self.masker = MaskNetwork(shape)
        self.bottleneck = Bottleneck(recipe.mask.bottleneck, recipe.mask.noise)
        self.masker.start_at(self.bottleneck.start(recipe.mask.opening))
        self.networks = nn.ModuleDict(
            {
                "regressor": self.regressor,
                "control": self.control,
                "mask": self.masker,
                "judge": self.judge,
            }
        ).to(device)
        if device.startswith("cuda"):
            torch.set_float32_matmul_precision("high")
            torch.backends.cudnn.allow_tf32 = True
        digest = hashlib.sha256(recipe.model_dump_json().encode())
        digest.update(repr((self.scale, self.signal)).encode())
        for array in (scaled, targets):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update("\n".join(map(str, groups)).encode())
        self.state = RelevanceState(fingerprint=digest.hexdigest())
        self.optimizer = self._begin()

    def _begin(self) -> torch.optim.AdamW:
        """Return the optimiser of the current stage."""
        recipe, stage = self.recipe, self.state.stage
        own = recipe.regressor.learning_rate
        modules: list[tuple[nn.Module, float]]
        if stage == "mask":
            modules = [(self.masker, recipe.mask.learning_rate)]
            if recipe.mask.thaw:
                modules.append((self.regressor, recipe.mask.thaw * own))
        elif stage == "judge":
            modules = [(self.judge, recipe.judge.learning_rate)]
        else:
            modules = [(self.control if stage == "control" else self.regressor, own)]
        self.networks.requires_grad_(False)
        self.networks.eval()
        for module, _ in modules:
            module.requires_grad_(True)
            # Beside the mask, the regressor keeps the statistics of whole clips.
            module.train(stage != "mask")
        return self._optimizer((module.parameters(), peak) for module, peak in modules)

    def _prepare(self) -> None:
        some = self.train_x[: min(64, len(self.train_x))]
        if self.state.stage == "regressor":
            self.regressor.calibrate(some)
        elif self.state.stage == "control":
            self.control.calibrate(some)
        elif self.state.stage == "judge":
            self.judge.load_state_dict(self.regressor.state_dict())
        else:
            self._measure_open()

    @torch.no_grad()
    def _measure_open(self) -> None:
        """Measure what the regressor loses by the bottleneck's noise alone."""
        state, opening = self.state, self.bottleneck.start(0.999)
        x, y = self.train_x[:_MOST_MEASURED], self.train_y[:_MOST_MEASURED]
        generator = self._generator()
        outputs = []
        for part in torch.split(x, self.recipe.schedule.batch):
            raw = torch.full_like(part, opening)
            passed = self.bottleneck.pass_on(part, raw, torch.zeros_like(part), generator)
            outputs.append(self.regressor(passed.z))
        state.plain_loss = self.signal.plain_loss(y)
        state.open_loss = min(float(self.signal.loss(torch.cat(outputs), y)), state.plain_loss)
        state.smoothed = state.open_loss
        state.log_weight = math.log(max(self.recipe.mask.beta, 1e-6))

    @property
    def target(self) -> float:
        """Loss that the mask may leave: `keep_r2` of what the open bottleneck explains."""
        state, keep = self.state, self.recipe.mask.keep_r2 or 0.0
        return state.plain_loss - keep * (state.plain_loss - state.open_loss)

    def _batch(self) -> tuple[Tensor, Tensor]:
        state, size = self.state, self.recipe.schedule.batch
        count = len(self.train_x)
        rng = self._rng()
        chosen = torch.from_numpy(rng.choice(count, size, replace=count < size)).to(self.device)
        rows = self.shuffled[chosen] if state.stage == "control" else chosen
        x = self.train_x[chosen]
        if self.recipe.regressor.flips:
            x = turned(x, int(rng.integers(8)))
        return x, self.train_y[rows]

    def _losses(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor | None]:
        x, y = self._batch()
        if self.state.stage == "mask":
            return self._mask_loss(x, y, generator)
        if self.state.stage == "judge":
            network, seen = self.judge, self._with_holes(x, generator)
        else:
            network = self.regressor if self.state.stage == "regressor" else self.control
            seen = augmented(x, self.recipe.regressor, generator, self._done())
        with self._fast():
            told = network(seen)
        loss = self.signal.loss(told.float(), y)
        return loss, loss, None

    @torch.no_grad()
    def _with_holes(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return clips of which random pixels are missing, or those of least contribution."""
        with self._fast():
            mask = self.bottleneck.mask(self.masker(x)[0].float())
        # Which share is kept has no favourite size: a hundredth is as frequent as a third.
        share = 10 ** (-2.5 * torch.rand(len(x), generator=generator, device=x.device))
        ranked = mask.flatten(1).sort(1, descending=True).values
        at = (share * ranked.shape[1]).long().clamp(0, ranked.shape[1] - 1)
        least = ranked.gather(1, at[:, None]).reshape(-1, 1, 1, 1)
        own = torch.rand((len(x), 1, 1, 1), generator=generator, device=x.device) < _OWN_SHARE
        return torch.where(own, x * (mask >= least), x * random_masks(x, generator))

    def _fast(self) -> torch.autocast:
        """Return bfloat16 where a GPU is quicker with it."""
        return torch.autocast("cuda", torch.bfloat16, enabled=self.device.startswith("cuda"))

    def _mask_loss(
        self, x: Tensor, y: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        state, how = self.state, self.recipe.mask
        with self._fast():
            raw, xi = self.masker(x)
        raw, xi = raw.float(), xi.float()
        passed = self.bottleneck.pass_on(x, raw, xi, generator)
        with self._fast():
            told = self.regressor(passed.z)
        said = self.signal.loss(told.float(), y)
        squeeze = how.price * (passed.mask**2).mean()
        if how.kl and how.sign == "mended":
            squeeze = squeeze + how.kl * passed.nats.mean()
        elif how.kl:
            mean, variance, _ = self.bottleneck.moments(x, raw, xi)
            squeeze = squeeze + how.kl * printed_term(mean, variance).mean() / x[0].numel()
        if how.keep_r2 is not None:
            state.smoothed = _SMOOTHING * state.smoothed + (1 - _SMOOTHING) * float(said.detach())
            excess = (state.smoothed - self.target) / max(self.target, 1e-6)
            moved = state.log_weight + how.control_rate * min(max(excess, -1.0), 1.0)
            state.log_weight = min(max(moved, _LOG_WEIGHT[0]), _LOG_WEIGHT[1])
        weight = math.exp(state.log_weight)
        loss = (weight * said + squeeze) / (1 + weight)
        if how.thaw and how.anchor:
            whole = augmented(x, self.recipe.regressor, generator)
            loss = loss + self.signal.loss(self.regressor(whole), y)
        return loss, said, passed.mask.detach().mean()

    def _measure(self) -> None:
        state = self.state
        if state.stage == "regressor":
            state.regressor_steps = state.total
            outputs = self._outputs(self.regressor, self.held_x)
            state.r2 = self._finite(self.signal.skill(outputs, self.held_y))
            state.chance_r2 = self._finite(self.signal.chance(outputs, self.held_y))
            some = slice(0, _MOST_MEASURED)
            state.train_r2 = self._r2(self.regressor, self.train_x[some], self.train_y[some])
        elif state.stage == "control":
            shuffled = self.held_y[self.held_shuffled]
            state.shuffled_r2 = self._r2(self.control, self.held_x, shuffled)
            self._insist_on_prediction()
        elif state.stage == "mask":
            state.mask_steps = state.total
            state.kept_r2 = 1 - state.smoothed / max(state.plain_loss, 1e-12)
            state.open_r2 = 1 - state.open_loss / max(state.plain_loss, 1e-12)
            if self.recipe.mask.thaw:
                state.r2 = self._r2(self.regressor, self.held_x, self.held_y)

    def _insist_on_prediction(self) -> None:
        self._insist(
            self.recipe.regressor.min_r2,
            "clips of movies held out",
            fails="Check that each row of the signal belongs to its movie, take more clips, or "
            "train for more minutes.",
            leads="Clips held out and clips trained on seem to be of the same movies: give each "
            "movie or field its own name.",
        )

    @torch.no_grad()
    def _outputs(self, network: Regressor, x: Tensor) -> Tensor:
        return torch.cat([network(part) for part in torch.split(x, 64)])

    def _r2(self, network: Regressor, x: Tensor, y: Tensor) -> float:
        return self._finite(self.signal.skill(self._outputs(network, x), y))

    def model(self) -> RelevanceModel:
        """Return the fitted model, with the curve of held-out clips."""
        state = self.state
        self.networks.requires_grad_(True)
        model = RelevanceModel(
            regressor=self.regressor.eval(),
            masker=self.masker.eval(),
            bottleneck=self.bottleneck,
            scale=self.scale,
            signal=self.signal,
            frames=self.frames,
            size=(self.size[0], self.size[1]),
            name=self.recipe.name,
            judge=self.judge.eval() if self.recipe.judge.share else None,
            symmetric=self.recipe.regressor.flips,
        )
        some = np.unique(np.linspace(0, len(self.held_x) - 1, _MOST_HELD).round().astype(int))
        held = self.held_x.cpu().numpy()[some]
        maps = model.maps_of_scaled(held)
        keep = self.recipe.mask.keep_r2 or 0.95
        targets = self.held_y.cpu().numpy()[some]
        model.fitted = Fitted(
            r2=state.r2,
            shuffled_r2=state.shuffled_r2,
            train_r2=state.train_r2,
            clips=len(self.train_x),
            held_out=self.split.held_out,
            regressor_steps=state.regressor_steps,
            mask_steps=state.mask_steps,
            kept_r2=state.kept_r2,
            open_r2=state.open_r2,
            seconds=state.elapsed_s,
            mean_mask=float(maps.contribution.mean()),
            curve=model.curve_of_scaled(held, targets, maps.contribution, keep_r2=keep),
            recipe=self.recipe.model_dump(),
        )
        return model
