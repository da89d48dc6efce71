"""One fit of a generator: its data, its network and the averaged one, its steps."""

from __future__ import annotations

import hashlib
import math
import warnings
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import nn

from spt_explain.errors import SptError
from spt_explain.training.loop import Fit, Interval, Progress, State
from spt_explain.xddpm.generator.clips import Clips
from spt_explain.xddpm.generator.generator import Generator, Range, Trained
from spt_explain.xddpm.generator.network import Denoiser, DenoiserShape
from spt_explain.xddpm.generator.objective import losses, noised, relevant_error
from spt_explain.xddpm.generator.sampler import kept
from spt_explain.xddpm.split import split

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from spt_explain.xddpm.generator.recipe import GeneratorRecipe
    from spt_explain.xddpm.model import RelevanceModel

Speed = Literal["auto", "eager", "graphs", "compile"]

_MOST_HELD = 128
"""Held-out clips that the loss is measured on."""
_HELD_TIMES = 4
"""Steps of the chain that each of them is measured at."""
_MOST_ON_GPU = 8 * 2**30
"""Bytes of clips and masks that are kept on the GPU; else they are sent batch by batch."""
_ALIKE = 0.05
"""Largest mean difference of recorded kernels from others, as a share; bfloat16 has 0.01."""
_RESUMABLE = ("steps", "minutes")
"""What may differ from the recipe of a checkpoint."""


@dataclass
class GeneratorState(State):
    """How far a fit has come; see `State`.

    Attributes
    ----------
    history : list of list of float
        Of each measurement on held-out clips: step, seconds, loss, loss in relevant pixels.
    """

    history: list[list[float]] = field(default_factory=list)

    @classmethod
    def is_valid(cls, values: dict[str, Any]) -> bool:
        """Whether each measurement has four values, beside what `State` asks for."""
        return super().is_valid(values) and all(
            isinstance(row, list) and len(row) == 4 for row in values["history"]
        )


@dataclass(frozen=True)
class GeneratorProgress(Progress):
    """What is reported while a fit goes on; the total is 0 if the recipe gives minutes.

    Attributes
    ----------
    held_loss, held_relevant_loss : float
        Of the averaged parameters on held-out clips, in all and in relevant pixels.
    """

    held_loss: float
    held_relevant_loss: float


class GeneratorRun(Fit):
    """One fit: its data on the device, its networks, its state.

    With minutes in the recipe the number of steps is never fixed: the fit ends by the clock.
    """

    data_name = "movies"
    device: torch.device
    state: GeneratorState

    def __init__(
        self,
        model: RelevanceModel,
        clips: NDArray[np.generic],
        recipe: GeneratorRecipe,
        device: str,
        groups: Sequence[str] | None,
        speed: Speed = "auto",
        masks: NDArray[np.float32] | None = None,
        measure_every: int = 200,
    ) -> None:
        self.measure_every = measure_every
        clips = np.asarray(clips)
        expected = (model.frames, *model.size)
        if clips.ndim != 4 or clips.shape[1:] != expected or len(clips) < 2:
            raise SptError(
                f"the clips have the shape {clips.shape}; expected at least 2 of the model's "
                f"{expected[0]} frames, {expected[1]} × {expected[2]} px."
            )
        recipe = recipe.for_device(device)
        flips = model.symmetric if recipe.flips is None else recipe.flips
        self.recipe = recipe = recipe.model_copy(update={"flips": flips})
        assert recipe.width is not None
        assert recipe.batch is not None
        self.device, self.batch = torch.device(device), recipe.batch
        self.mask_weight = 0.0 if recipe.objective == "plain" else recipe.mask_weight
        self.for_mask = round(recipe.mask_share * recipe.batch) if self.mask_weight else 0
        scaled = model.scale.apply(clips)
        if not np.isfinite(scaled).all():
            raise SptError(
                "the movies hold pixels that are not finite numbers; expected finite values. "
                "Export the movies again without NaN or infinity."
            )
        names = groups if groups is not None else [str(i) for i in range(len(clips))]
        parts = split(names, recipe.validation, seed=recipe.seed)
        self.range = Range.fit(clips[parts.train], model.scale)
        if masks is None:
            masks = model.maps_of_scaled(scaled).contribution
        data = torch.from_numpy(self.range.apply(clips))
        relevance = torch.from_numpy(np.asarray(masks, np.float16))
        room = self.device.type != "cuda" or 6 * clips.size < _MOST_ON_GPU
        home = self.device if room else torch.device("cpu")
        train_x, train_m = (part[parts.train].to(home) for part in (data, relevance))
        self.clips = Clips(train_x, train_m, recipe, self.device)
        held = parts.validation[
            np.unique(np.linspace(0, len(parts.validation) - 1, _MOST_HELD).round().astype(int))
        ]
        self.held_x, self.held_m = (part[held].to(self.device) for part in (data, relevance))
        self.kept = kept(recipe.schedule, recipe.timesteps).to(self.device)
        self.size = model.size
        torch.manual_seed(recipe.seed)
        shape = DenoiserShape(
            model.frames, recipe.width, recipe.multipliers, recipe.layers, recipe.attention
        )
        network = Denoiser(shape).to(self.device)
        if self.device.type == "cuda":
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            torch.set_float32_matmul_precision("high")
            torch.backends.cudnn.allow_tf32 = True
        self.network: Denoiser = network
        self.average = deepcopy(network).requires_grad_(False).eval()
        self.networks = nn.ModuleDict({"network": self.network, "average": self.average})
        self.parameters: list[Tensor] = list(self.network.parameters())
        self.averaged: list[Tensor] = list(self.average.parameters())
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            fused=self.device.type == "cuda",
        )
        self.model_digest = digest_of(model)
        digest = hashlib.sha256(recipe.model_dump_json(exclude=set(_RESUMABLE)).encode())
        digest.update(repr(self.range).encode())
        for array in (np.ascontiguousarray(clips), relevance.numpy()):
            digest.update(array.tobytes())
        digest.update("\n".join(map(str, names)).encode())
        self.state = GeneratorState(fingerprint=digest.hexdigest())
        self.speed, self.how = speed, "eager"
        self.loss = torch.zeros((), device=self.device)
        self.forward: Callable[[Tensor, Tensor], Tensor] = self.network

    @property
    def budget_s(self) -> float:
        """Seconds of the fit."""
        return 60 * self.recipe.minutes

    @property
    def rate_name(self) -> str:
        """The learning rate to lower if the fit diverges."""
        return "learning_rate in the recipe"

    @property
    def is_over(self) -> bool:
        """Whether all steps, or all minutes, are over and the result is measured."""
        return self._is_trained() and not self.evaluation_due

    @property
    def evaluation_due(self) -> bool:
        """Whether to measure: at first, every few steps, and at the end."""
        history, step = self.state.history, self.state.step
        if not history:
            return True
        if history[-1][0] == step:
            return False
        return step % self.measure_every == 0 or self._is_trained()

    def _is_trained(self) -> bool:
        """Whether all steps, or all minutes, are over."""
        if self.recipe.steps is not None:
            return self.state.step >= self.recipe.steps
        return self.state.elapsed_s >= self.budget_s

    def is_finite(self) -> bool:
        """Whether the losses on held-out clips are finite."""
        return all(math.isfinite(value) for value in self.state.history[-1])

    def prepare(self) -> None:
        """Record or compile the network."""
        self.state.total = self.recipe.steps or 0
        self.network.train()
        self._make_fast()
        self.loss.zero_()

    def evaluate(self, is_leaving: Callable[[], bool]) -> bool:  # noqa: ARG002
        """Measure the averaged parameters on held-out clips."""
        self.measure()
        return True

    def progress(self, interval: Interval) -> GeneratorProgress:
        """Return the means of an interval."""
        state, loss = self.state, float(self.loss) / max(interval.steps, 1)
        self.loss.zero_()
        _, _, held, relevant = state.history[-1]
        return GeneratorProgress(state.step, state.total, loss, interval.left_s, held, relevant)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.device.type,
            dtype=torch.bfloat16,
            enabled=self.recipe.precision == "bfloat16",
            cache_enabled=False,
        )

    def _make_fast(self) -> None:
        """Record the forward and the backward pass as CUDA graphs, or compile them.

        The many small kernels of a U-Net of 32 px frames cost more to launch than to run.
        """
        wanted = self.speed
        if wanted == "auto":
            wanted = "graphs" if self.device.type == "cuda" else "eager"
        if wanted == "eager" or self.how != "eager":
            return
        try:
            if wanted == "compile":
                compiled: Any = torch.compile(self.network)
                self.forward = compiled
            else:
                x = torch.zeros((self.batch, *self.held_x.shape[1:]), device=self.device)
                t = torch.zeros(self.batch, dtype=torch.long, device=self.device)
                with self._autocast():
                    recorded: Any = torch.cuda.make_graphed_callables(self.network, (x, t))
                self.forward = recorded
                self._check_recorded()
            self.how = wanted
        except Exception as error:  # any failure to record: it goes on as before, slower
            warnings.warn(
                f"{wanted} can't be used here ({str(error).splitlines()[0]}); it goes on without.",
                stacklevel=2,
            )
            self.network.__dict__.pop("forward", None)
            self.forward = self.network

    @torch.no_grad()
    def _check_recorded(self) -> None:
        """Compare what was recorded with the network itself, which runs in `eval`."""
        shape = (self.batch, *self.held_x.shape[1:])
        generator = torch.Generator(self.device).manual_seed(1)
        x = torch.randn(shape, generator=generator, device=self.device)
        t = torch.full((self.batch,), self.recipe.timesteps // 2, device=self.device)
        with self._autocast():
            fast = self.forward(x, t).float()
            self.network.eval()
            slow = self.network(x, t).float()
            self.network.train()
        if not float((fast - slow).abs().mean()) <= _ALIKE * float(slow.abs().mean()):
            raise RuntimeError("what was recorded gives something else")

    def step(self) -> int:
        """Take one step on a batch; return its size."""
        recipe = self.recipe
        batch = self.clips.batch(self.state.step, self.batch, self.for_mask)
        x, mask, times = batch.x, batch.mask, batch.times
        noise, other = (
            torch.randn(x.shape, generator=batch.generator, device=self.device) for _ in "ab"
        )
        made = noised(recipe.objective, recipe.output, x, mask, self.kept[times], noise, other)
        with self._autocast():
            out = self.forward(made.x_t, times)
        said, logits = out.float().chunk(2, 1)
        last, rest = slice(0, self.for_mask), slice(self.for_mask, None)
        error, entropy = losses(said[rest], logits[rest], made.target[rest], mask[rest])
        loss = error
        if self.mask_weight:
            loss = error + self.mask_weight * entropy
        if self.for_mask:
            _, entropy = losses(said[last], logits[last], made.target[last], mask[last])
            loss = loss + self.mask_weight * entropy
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters, recipe.clip_norm)
        rate = self._rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        decay = min(recipe.ema, (1 + self.state.step) / (10 + self.state.step))
        torch._foreach_lerp_(self.averaged, self.parameters, 1 - decay)
        self.loss += error.detach()
        return self.batch

    def _rate(self) -> float:
        """Return the rate of this step: it rises, stays, and falls to zero with the fit's end."""
        recipe, state = self.recipe, self.state
        done = (
            state.step / recipe.steps
            if recipe.steps is not None
            else state.elapsed_s / (60 * recipe.minutes)
        )
        falls = (1 - done) / recipe.decay_share if recipe.decay_share else 1.0
        rises = (state.step + 1) / (recipe.warmup_steps + 1)
        return recipe.learning_rate * max(min(1.0, rises, falls), 0.0)

    @torch.no_grad()
    def measure(self) -> None:
        """Measure the averaged parameters on held-out clips, with the same noise each time."""
        generator = torch.Generator(self.device).manual_seed(self.recipe.seed % 2**62)
        count = _HELD_TIMES * len(self.held_x)
        spread = torch.linspace(0, self.recipe.timesteps - 1, count, device=self.device)
        # Every held-out clip meets late and early steps.
        times = spread.round().long().view(_HELD_TIMES, -1)
        totals = torch.zeros(4, dtype=torch.float64, device=self.device)
        for row in times:
            for part in torch.split(torch.arange(len(self.held_x), device=self.device), 64):
                x, mask, t = self.held_x[part], self.held_m[part].float(), row[part]
                noise, other = (
                    torch.randn(x.shape, generator=generator, device=self.device) for _ in "ab"
                )
                made = noised(
                    self.recipe.objective, self.recipe.output, x, mask, self.kept[t], noise, other
                )
                with self._autocast():
                    out = self.average(made.x_t, t)
                said, logits = out.float().chunk(2, 1)
                square, number = relevant_error(said, made.target, mask)
                error = losses(said, logits, made.target, mask)[0] * x.numel()
                totals += torch.stack(
                    [error, torch.full_like(error, x.numel()), square, number.to(error.dtype)]
                ).double()
        all_error, pixels, square, number = totals.tolist()
        self.state.history.append(
            [
                self.state.step,
                round(self.state.elapsed_s, 3),
                all_error / pixels,
                square / max(number, 1.0),
            ]
        )

    def generator(self) -> Generator:
        """Return what the fit gave so far, with the averaged parameters."""
        state = self.state
        _, _, loss, relevant = state.history[-1]
        return Generator(
            denoiser=self.average,
            range=self.range,
            mean=self.clips.mean(),
            objective=self.recipe.objective,
            output=self.recipe.output,
            schedule=self.recipe.schedule,
            timesteps=self.recipe.timesteps,
            size=(self.size[0], self.size[1]),
            name=self.recipe.name,
            trained=Trained(
                steps=state.step,
                seconds=state.elapsed_s,
                clips=len(self.clips),
                loss=loss,
                relevant_loss=relevant,
                history=tuple((int(a), b, c, d) for a, b, c, d in state.history),
                recipe=self.recipe.model_dump(mode="json"),
                model=self.model_digest,
            ),
        )


def digest_of(model: RelevanceModel) -> str:
    """Return what tells one fitted mask from another."""
    digest = hashlib.sha256(repr((model.scale, model.bottleneck)).encode())
    for value in model.masker.state_dict().values():
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
