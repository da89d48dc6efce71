"""A fitted model: predictions and relevance maps of clips and of movies of any size; files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from spt_explain.errors import SptError
from spt_explain.xddpm.augment import turned, turned_back, turns
from spt_explain.xddpm.layout import Layout
from spt_explain.xddpm.sufficiency import sufficiency
from spt_explain.xddpm.tiles import blend_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from spt_explain.xddpm.bottleneck import Bottleneck
    from spt_explain.xddpm.network import MaskNetwork, Regressor
    from spt_explain.xddpm.scale import Scale
    from spt_explain.xddpm.signals import Signal
    from spt_explain.xddpm.sufficiency import Curve


@dataclass(frozen=True)
class Maps:
    """Relevance of each pixel, of the shape of the clips or the movie, float32.

    Attributes
    ----------
    contribution : numpy.ndarray
        M, from 0 to 1: how much of the pixel the prediction is made of.
    information : numpy.ndarray
        Nats that pass of the pixel.
    """

    contribution: NDArray[np.float32]
    information: NDArray[np.float32]


@dataclass(frozen=True)
class Fitted:
    """What a fit found.

    Attributes
    ----------
    r2, shuffled_r2, train_r2 : float
        Of the regressor on held-out clips, of the control with shuffled signal, of the regressor
        on the clips it was trained on; of categories McFadden's.
    clips : int
        Clips trained on.
    held_out : tuple of str
        Movies or fields held out.
    regressor_steps, mask_steps : int
        Steps that the regressor and the mask were given.
    open_r2, kept_r2 : float
        R² on training clips behind the open bottleneck, and behind the mask at its end.
    seconds : float
        Time the fit took.
    mean_mask : float
        Mean M on held-out clips.
    curve : Curve
        Sufficiency on held-out clips.
    recipe : dict
    """

    r2: float
    shuffled_r2: float
    train_r2: float
    clips: int
    held_out: tuple[str, ...]
    regressor_steps: int
    seconds: float
    mean_mask: float
    curve: Curve
    recipe: dict[str, Any] = field(default_factory=dict)
    mask_steps: int = 0
    open_r2: float = 0.0
    kept_r2: float = 0.0


@dataclass
class RelevanceModel:
    """A regressor and the mask before it.

    Attributes
    ----------
    regressor, masker
        Networks on scaled clips; Captum explains the former.
    bottleneck, scale, signal
        What they were fitted with.
    frames : int
        Frames of a clip.
    size : tuple of int
        Height and width of a clip.
    name : str
    fitted : Fitted, optional
        What the fit found.
    layout : Layout, optional
        How its clips were cut from movies; without it, movies are taken as they are.
    judge : Regressor, optional
        A regressor that was shown clips with pixels missing: it says what a part of the pixels
        tells. Without it the regressor is asked, which has never seen a hole.
    symmetric : bool
        Whether clips were turned and mirrored when it was fitted. A map is then the mean over all
        turned and mirrored copies, each map turned back: 8 of square frames, else 4.
    note : str
        Why it is not on the device that was asked for; empty if it is.
    """

    regressor: Regressor
    masker: MaskNetwork
    bottleneck: Bottleneck
    scale: Scale
    signal: Signal
    frames: int
    size: tuple[int, int]
    name: str = "relevance"
    fitted: Fitted | None = None
    layout: Layout | None = None
    judge: Regressor | None = None
    symmetric: bool = False
    note: str = ""

    @property
    def cutting(self) -> Layout:
        """How movies are cut, also where nothing was said: as they are, in tiles of its size."""
        return self.layout or Layout(None, self.frames, self.frames, 1)

    @property
    def reference(self) -> float:
        """Pixel value that stands for nothing: what a removed pixel is set to."""
        return self.scale.reference

    @property
    def threshold(self) -> float:
        """Least contribution of the smallest set of pixels that was sufficient."""
        if self.fitted is None:
            raise SptError("the model has no sufficiency curve; fit it again.")
        return self.fitted.curve.threshold

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.regressor.parameters()).device

    def predict(self, clips: NDArray[np.generic], *, batch: int = 64) -> NDArray[np.float32]:
        """Return the predicted signal.

        Parameters
        ----------
        clips : numpy.ndarray, shape (clips, frames, height, width)
            Pixel values, of the size of the clips that were trained on.
        batch : int
            Clips at a time.

        Returns
        -------
        numpy.ndarray, shape (clips, columns), float32
            In the signal's units; with values for each frame, all those of a frame before those
            of the next. Of categories, logits.
        """
        scaled = self.scale.apply(self._checked(clips))
        return self.signal.decode(self.outputs_of_scaled(scaled, batch=batch))

    def maps(self, clips: NDArray[np.generic], *, batch: int = 32) -> Maps:
        """Return the relevance of clips of the size that was trained on, of the same shape."""
        return self.maps_of_scaled(self.scale.apply(self._checked(clips)), batch=batch)

    def explain(self, movie: NDArray[np.generic], *, overlap: float = 0.5, batch: int = 32) -> Maps:
        """Return the relevance of a whole movie, from overlapping tiles.

        Parameters
        ----------
        movie : numpy.ndarray, shape (frames, height, width)
            Pixel values as they are in the file; of any size. They are binned and cut as the
            clips were that the model was fitted to.
        overlap : float
            Least share that neighbouring tiles have in common, along time, height and width.
        batch : int
            Tiles at a time.

        Returns
        -------
        Maps
            Of the movie's shape. Of binned pixels, each pixel has the contribution of its square,
            and an equal share of its nats.

        Raises
        ------
        SptError
            If it has another number of dimensions, or pixels that are not finite.
        """
        movie = np.asarray(movie)
        if movie.ndim != 3 or 0 in movie.shape:
            raise SptError(
                f"the movie has the shape {movie.shape}; expected (frames, height, width)."
            )
        both = np.empty((2, *movie.shape), np.float32)
        shape = (movie.shape[0], movie.shape[1], movie.shape[2])
        for first, maps in self.explain_frames(
            lambda i: movie[i], shape, overlap=overlap, batch=batch
        ):
            done = slice(first, first + len(maps.contribution))
            both[0, done], both[1, done] = maps.contribution, maps.information
        return Maps(both[0], both[1])

    def explain_frames(
        self,
        frame: Callable[[int], NDArray[np.generic]],
        shape: tuple[int, int, int],
        *,
        overlap: float = 0.5,
        batch: int = 32,
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[tuple[int, Maps]]:
        """Give the relevance of a movie that is read frame by frame; memory doesn't grow with it.

        Parameters
        ----------
        frame : callable
            Returns frame i, (height, width), e.g. `spt_explain.movies.stack.Stack.frame`; each is
            asked for once, in order.
        shape : tuple of int
            Frames, height and width of the movie.
        overlap, batch
            As for `explain`.
        progress : callable, optional
            Called with frames done and their number.

        Yields
        ------
        first : int
            Number of the first frame of a block; blocks follow one another without a gap.
        maps : Maps
            Of the frames of the block, (frames, height, width).

        Raises
        ------
        SptError
            If a pixel is not a finite number.
        """
        cutting = self.cutting
        frames, height, width = shape

        def read(i: int) -> NDArray[np.float32]:
            pixels = frame(i)
            _insist_finite(pixels)
            return self.scale.apply(cutting.binned(pixels))

        def maps(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
            found = self.maps_of_scaled(tiles, batch=batch)
            return np.stack([found.contribution, found.information], 1)

        share = cutting.share(height, width)
        for first, both in blend_frames(
            read,
            (frames, *cutting.size_of(height, width)),
            (self.frames, *self.size),
            maps,
            overlap=overlap,
            batch=batch,
            progress=progress,
        ):
            large = cutting.spread(both, height, width)
            yield first, Maps(large[0], large[1] * share)

    def r2(self, clips: NDArray[np.generic], values: ArrayLike) -> float:
        """Return R² (of categories: McFadden's) of the regressor on clips and their signal."""
        targets = torch.from_numpy(self.signal.encode(values))
        outputs = self.outputs_of_scaled(self.scale.apply(self._checked(clips)))
        return self.signal.skill(torch.from_numpy(outputs), targets)

    def sufficiency(
        self,
        clips: NDArray[np.generic],
        values: ArrayLike,
        relevance: NDArray[np.float32] | None = None,
        *,
        keep_r2: float = 0.95,
    ) -> Curve:
        """Return the sufficiency curve of clips that the model was not trained on.

        Parameters
        ----------
        clips : numpy.ndarray, shape (clips, frames, height, width)
            Pixel values.
        values : array_like
            Their signal.
        relevance : numpy.ndarray, same shape as the clips, optional
            Of any method; the model's own contribution by default.
        keep_r2 : float
            Share of the R² with all pixels that is called sufficient.
        """
        scaled = self.scale.apply(self._checked(clips))
        own = relevance is None
        if relevance is None:
            relevance = self.maps_of_scaled(scaled).contribution
        targets = self.signal.encode(values)
        return self.curve_of_scaled(scaled, targets, relevance, own=own, keep_r2=keep_r2)

    def curve_of_scaled(
        self,
        scaled: NDArray[np.float32],
        targets: NDArray[np.float32],
        relevance: NDArray[np.float32],
        *,
        own: bool = True,
        keep_r2: float = 0.95,
    ) -> Curve:
        """Return the sufficiency curve of scaled clips and encoded targets.

        What any of the readers makes of the pixels that are kept is in them: the regressor; the
        judge; and, where the relevance is the model's own contribution (`own`), the regressor on
        M x̃, which it has learnt to read beside the mask.
        """
        expected = torch.from_numpy(targets)
        if not self.signal.plain_loss(expected) > 1e-12:
            raise SptError(
                "the signal is the same in all of these clips, so nothing tells which pixels are "
                "enough to predict it; expected clips in which it differs."
            )

        def skill(kept: NDArray[np.float32]) -> float:
            read = [self.outputs_of_scaled(kept)]
            if self.judge is not None:
                read.append(self.outputs_of_scaled(kept, by=self.judge))
            if own:
                read.append(self.outputs_of_scaled(relevance * kept))
            return max(self.signal.skill(torch.from_numpy(each), expected) for each in read)

        return sufficiency(skill, scaled, relevance, keep_r2=keep_r2)

    def save(self, folder: Path, *, overwrite: bool = False) -> Path:
        """Write it to a folder; see `spt_explain.xddpm.store.save`."""
        from spt_explain.xddpm import store

        return store.save(self, folder, overwrite=overwrite)

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu") -> RelevanceModel:
        """Read one from a folder; see `spt_explain.xddpm.store.load`."""
        from spt_explain.xddpm import store

        return store.load(folder, device=device)

    @torch.no_grad()
    def outputs_of_scaled(
        self, scaled: NDArray[np.float32], *, batch: int = 64, by: Regressor | None = None
    ) -> NDArray[np.float32]:
        """Return outputs, (clips, columns), of scaled clips: the regressor's, or those of `by`."""
        device, network = self.device, by or self.regressor
        parts = [
            network(torch.from_numpy(scaled[i : i + batch]).to(device)).cpu().numpy()
            for i in range(0, len(scaled), batch)
        ]
        return np.concatenate(parts)

    @torch.no_grad()
    def maps_of_scaled(self, scaled: NDArray[np.float32], *, batch: int = 32) -> Maps:
        """Return the relevance of scaled clips."""
        count = turns(*scaled.shape[-2:]) if self.symmetric else 1
        masks, nats = [], []
        for i in range(0, len(scaled), batch):
            part = torch.from_numpy(scaled[i : i + batch]).to(self.device)
            both = torch.zeros((2, *part.shape), device=self.device)
            for number in range(count):
                x = turned(part, number)
                raw, xi = self.masker(x)
                both[0] += turned_back(self.bottleneck.mask(raw), number)
                both[1] += turned_back(self.bottleneck.nats(x, raw, xi), number)
            both /= count
            masks.append(both[0].cpu().numpy())
            nats.append(both[1].cpu().numpy())
        return Maps(np.concatenate(masks), np.concatenate(nats))

    def _checked(self, clips: NDArray[np.generic]) -> NDArray[np.generic]:
        clips = np.asarray(clips)
        if clips.ndim != 4 or not len(clips) or clips.shape[1:] != (self.frames, *self.size):
            raise SptError(
                f"the clips have the shape {clips.shape}; expected (clips, {self.frames}, "
                f"{self.size[0]}, {self.size[1]})."
            )
        _insist_finite(clips)
        return clips


def _insist_finite(pixels: NDArray[np.generic]) -> None:
    if not np.isfinite(np.asarray(pixels, np.float32)).all():
        raise SptError(
            "the movie holds pixels that are not finite numbers; expected finite values. Export it "
            "again without NaN or infinity.",
            code="wrong-kind",
        )
