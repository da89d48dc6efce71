"""The one loop, on a network of one parameter: budget, resume, Ctrl-C, divergence, checkpoints."""

import signal
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from spt_explain.errors import SptError
from spt_explain.training import loop
from spt_explain.training.checkpoint import read_state, save_checkpoint
from spt_explain.training.loop import Fit, Progress, State, run


@dataclass
class CountedState(State):
    evaluations: int = 0


class Clock:
    """A clock that only steps and evaluations move."""

    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    ticking = Clock()
    monkeypatch.setattr(loop, "time", ticking)
    return ticking


class Line(Fit):
    """A fit of one number to another; each step takes a second."""

    known_share = 0.1
    rate_name = "learning_rate"
    budget_s = 60.0
    device = "cpu"

    def __init__(self, clock, *, steps=0, rate=0.1, fingerprint="line", every=0, stages=1):
        torch.manual_seed(0)
        self.clock, self.steps, self.every, self.stages = clock, steps, every, stages
        self.networks = nn.Linear(1, 1)
        self.optimizer = torch.optim.AdamW(self.networks.parameters(), lr=rate)
        self.state = CountedState(fingerprint=fingerprint)
        self.evaluated_at = -1

    def prepare(self):
        self.state.total = self.steps or self.state.total

    def step(self):
        self.clock.now += 1
        generator = torch.Generator().manual_seed(self.state.step)
        x = torch.randn(4, 1, generator=generator)
        loss = (self.networks(x) - 3 * x).square().mean()
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return 4

    @property
    def evaluation_due(self):
        step = self.state.step
        return bool(self.every) and step % self.every == 0 and step != self.evaluated_at

    def evaluate(self, is_leaving):
        self.clock.now += 5
        if is_leaving():
            return False
        self.state.evaluations += 1
        self.evaluated_at = self.state.step
        return True

    def finish_stage(self):
        self.stages -= 1
        self.state.finished = not self.stages
        if self.stages:
            self.state.step = self.state.total = 0
            self.state.stage_s = 0.0

    def progress(self, interval):
        return Progress(self.state.step, self.state.total, 0.0, interval.left_s)

    @property
    def weight(self):
        return self.networks.weight.item()


def test_the_budget_ends_it(clock):
    fit, seen = Line(clock), []
    assert run(fit, report=seen.append, report_every_s=0)
    assert fit.state.finished
    assert fit.state.step == fit.state.total == 60
    assert fit.state.samples == 240
    assert fit.state.elapsed_s == fit.state.stage_s == 60
    assert seen[0].total == 0
    assert [one.left_s for one in seen] == [float(left) for left in range(59, -1, -1)]


def test_resume_goes_on_with_the_remaining_budget(clock, tmp_path):
    whole = Line(clock)
    run(whole)
    path = tmp_path / "c.safetensors"
    elapsed = []
    for _ in range(3):
        fit = Line(clock)
        clock.now += 1000  # time between two runs does not count
        elapsed.append((run(fit, checkpoint=path, stop_after_s=25), fit.state.elapsed_s))
    assert elapsed == [(False, 25.0), (False, 50.0), (True, 60.0)]
    assert fit.weight == whole.weight


def test_a_slower_machine_takes_fewer_steps(clock):
    class Slow(Line):
        def step(self):
            self.clock.now += 2
            return super().step()

    fit = Slow(clock)
    run(fit)
    assert fit.state.total == 20
    assert fit.state.elapsed_s == 60


def test_limits_of_steps_hold_whatever_the_speed(clock):
    class Limited(Line):
        step_limits = (100, 110)

    fit = Limited(clock)
    run(fit)
    assert fit.state.total == 100
    Limited.step_limits = (0, 20)
    fit = Limited(clock)
    run(fit)
    assert fit.state.total == 20


def test_the_first_step_of_a_fit_that_compiles_is_not_counted(clock):
    class Compiled(Line):
        compiles = True

        def step(self):
            self.clock.now += 500 * (self.state.step == 0)
            return super().step()

    fit, seen = Compiled(clock), []
    run(fit, report=seen.append, report_every_s=0)
    assert fit.state.step == 60
    assert fit.state.elapsed_s == 59
    assert seen[0].step == 2


def test_stages_have_a_budget_each(clock):
    fit = Line(clock, stages=3)
    assert run(fit)
    assert fit.state.stage_s == 60
    assert fit.state.elapsed_s == 180
    assert fit.state.samples == 3 * 240


@pytest.mark.parametrize("counts", [False, True])
def test_an_evaluation_counts_only_if_it_belongs_to_the_training(clock, counts):
    class Evaluated(Line):
        evaluation_counts = counts

    fit, seen = Evaluated(clock, steps=20, every=10), []
    run(fit, report=seen.append)
    # at the start, in the middle and at the end, of 5 s each
    assert fit.state.evaluations == 3
    assert fit.state.elapsed_s == 20 + 15 * counts
    # a report follows each, or comes when 5 s are over
    assert [one.step for one in seen] == ([0, 5, 10, 15, 20] if counts else [5, 10, 15, 20])
    assert seen[1].left_s == (15 if counts else 10)


def test_an_evaluation_that_is_left_is_done_again(clock, tmp_path):
    path = tmp_path / "c.safetensors"
    fit = Line(clock, steps=20, every=10)
    fit.evaluated_at = 0
    assert not run(fit, checkpoint=path, stop_after_s=12)
    assert fit.state.step == 10
    assert fit.state.evaluations == 0
    again = Line(clock, steps=20, every=10)
    assert run(again, checkpoint=path)
    assert again.state.evaluations == 2


def test_ctrl_c_finishes_the_step_and_writes_a_checkpoint(clock, tmp_path):
    path = tmp_path / "c.safetensors"
    whole = Line(clock, steps=12)
    run(whole)

    class Interrupted(Line):
        def step(self):
            if self.state.step == 6:
                signal.raise_signal(signal.SIGINT)
            return super().step()

    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(clock, steps=12), checkpoint=path)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert read_state(path)["step"] == 7
    assert [one.name for one in tmp_path.iterdir()] == ["c.safetensors"]
    fit = Line(clock, steps=12)
    assert run(fit, checkpoint=path)
    assert fit.weight == whole.weight


def test_ctrl_c_without_a_checkpoint_leaves_too(clock):
    class Interrupted(Line):
        def step(self):
            signal.raise_signal(signal.SIGINT)
            return super().step()

    fit = Interrupted(clock)
    with pytest.raises(KeyboardInterrupt):
        run(fit)
    assert fit.state.step == 1


def test_divergence_is_an_error(clock, tmp_path):
    path = tmp_path / "c.safetensors"
    with pytest.raises(SptError, match=r"diverged.*Lower learning_rate") as caught:
        run(Line(clock, steps=5, rate=1e30), checkpoint=path)
    assert (caught.value.code, caught.value.exit_code) == ("failed", 1)
    assert not path.exists()


def test_a_finished_fit_goes_on_with_more_steps(clock, tmp_path):
    path = tmp_path / "c.safetensors"
    whole = Line(clock, steps=12)
    run(whole)
    run(Line(clock, steps=5), checkpoint=path)
    fit = Line(clock, steps=12)
    assert run(fit, checkpoint=path)
    assert fit.state.step == 12
    assert fit.weight == whole.weight


def test_a_checkpoint_is_left_alone_unless_it_is_resumed(clock, tmp_path):
    path = tmp_path / "c.safetensors"
    path.write_bytes(b"of something else")
    fit = Line(clock, steps=3)
    assert run(fit, checkpoint=path, resume=False)
    assert read_state(path)["step"] == 3


def _refusal(fit, path):
    with pytest.raises(SptError) as caught:
        run(fit, checkpoint=path)
    assert caught.value.option == "resume"
    assert len(str(caught.value).splitlines()) == 1
    return caught.value.code


def test_a_checkpoint_of_another_fit_is_refused(clock, tmp_path):
    path = tmp_path / "c.safetensors"
    run(Line(clock, steps=3), checkpoint=path)
    assert _refusal(Line(clock, fingerprint="another"), path) == "conflict"
    wide = Line(clock)
    wide.networks = nn.Linear(2, 2)
    wide.optimizer = torch.optim.AdamW(wide.networks.parameters())
    assert _refusal(wide, path) == "unreadable"


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.99])
def test_a_damaged_checkpoint_is_refused(clock, tmp_path, keep):
    path = tmp_path / "c.safetensors"
    run(Line(clock, steps=3), checkpoint=path)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    assert _refusal(Line(clock), path) == "unreadable"


@pytest.mark.parametrize(
    "change",
    [
        {"step": -1},
        {"step": 1.5},
        {"step": "3"},
        {"elapsed_s": float("nan")},
        {"elapsed_s": -1.0},
        {"stage_s": float("inf")},
        {"evaluations": None},
        {"more": 1},
    ],
)
def test_a_state_that_can_not_be_is_refused(clock, tmp_path, change):
    path = tmp_path / "c.safetensors"
    fit = Line(clock)
    save_checkpoint(path, fit.networks, fit.optimizer, fit.state.to_dict() | change)
    assert _refusal(Line(clock), path) == "unreadable"
    values = fit.state.to_dict()
    del values["samples"]
    save_checkpoint(path, fit.networks, fit.optimizer, values)
    assert _refusal(Line(clock), path) == "unreadable"


def test_only_the_first_process_writes_and_all_leave_together(clock, tmp_path):
    """Stands for the second of two processes, of which the first was asked to leave."""
    path = tmp_path / "c.safetensors"
    fit = Line(clock, steps=40)
    fit.processes = SimpleNamespace(rank=1, count=2, agree=lambda s: 2 * s, any=lambda _: True)
    with pytest.raises(KeyboardInterrupt):
        run(fit, checkpoint=path)
    # looks are exchanges: not after each step
    assert fit.state.step == 16
    assert fit.state.elapsed_s == 32
    assert not path.exists()
