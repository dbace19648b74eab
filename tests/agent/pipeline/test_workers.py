"""The two workers, one step at a time, and the threads around them."""

import threading

import pytest

from agent.pipeline.intake import Intake
from agent.pipeline.workers import JudgeWorker, Pipeline, RecordWorker, Results
from agent.sources.sinks import BlockingQueue, Tally
from fbclip.errors import DeviceLostError
from tests.factories.agent import a_frame, a_judged, an_inspection
from tests.factories.brokers import wait_until


class CountingJudge:
    """Judges a frame by its number; `failing` raises instead. `lost` is raised once a batch has its verdicts."""

    def __init__(self, failing: bool = False, lost: Exception | None = None) -> None:
        self.batches = []
        self.failing = failing
        self.lost = lost

    def check_device(self):
        if self.lost is not None:
            raise self.lost

    def judge(self, frames, alive):
        if self.failing:
            raise ValueError("no such thing")
        self.batches.append([frame.seq for frame in frames])
        return [a_judged(an_inspection(seq=frame.seq), frame) for frame in frames]


class KeepingRecorder:
    def __init__(self) -> None:
        self.seqs = []

    def turn(self, stop) -> None: ...

    def give_up(self, reason, stop) -> None: ...

    def seconds_to_due(self, most) -> float:
        return most

    def record(self, judged, stop) -> bool:
        self.seqs.append(judged.inspection.frame_seq)
        return True


class Line:
    """An intake of one queue with `count` frames."""

    def __init__(self, count: int, batch: int = 2) -> None:
        self.intake = Intake(batch)
        self.queue = BlockingQueue(Tally(), 8, self.intake.notify)
        self.intake.add(self.queue)
        for seq in range(1, count + 1):
            self.queue.put(a_frame(seq), threading.Event())


class Signals:
    def __init__(self) -> None:
        self.finishing, self.abort = threading.Event(), threading.Event()


@pytest.fixture
def signals():
    return Signals()


def a_judge_worker(line, judge, results, signals):
    return JudgeWorker(line.intake, judge, results, signals.finishing, signals.abort, wait_s=0.001)


def seqs_in(results) -> list:
    return [None if judged is None else judged.inspection.frame_seq for judged in results.queue]


def test_a_step_judges_one_batch(signals):
    judge, results = CountingJudge(), Results()
    worker = a_judge_worker(Line(3), judge, results, signals)
    assert worker.step()
    assert seqs_in(results) == [1, 2]
    assert worker.step()
    assert judge.batches == [[1, 2], [3]]
    assert worker.step()
    assert seqs_in(results) == [1, 2, 3]


def test_finishing_judges_what_is_there_and_then_says_that_it_was_the_last(signals):
    results = Results()
    worker = a_judge_worker(Line(1), CountingJudge(), results, signals)
    signals.finishing.set()
    assert worker.step()
    assert not worker.step()
    assert seqs_in(results) == [1, None]


def test_an_abort_judges_nothing_more_and_frees_a_worker_that_waits_for_room(signals):
    line, results = Line(2), Results(1)
    worker = a_judge_worker(line, CountingJudge(), results, signals)
    threading.Timer(0.05, signals.abort.set).start()
    # Room for one of two results: the step waits until the abort.
    worker.step()
    assert seqs_in(results) == [1]
    assert not worker.step()


def test_results_are_recorded_in_order_until_the_last(signals):
    results, recorder = Results(), KeepingRecorder()
    worker = RecordWorker(results, recorder, signals.abort, wait_s=0.001)
    assert worker.step()
    for entry in (a_judged(an_inspection(seq=1)), a_judged(an_inspection(seq=2)), None):
        results.put(entry)
    assert [worker.step() for _ in range(3)] == [True, True, False]
    assert recorder.seqs == [1, 2]
    assert results.empty()


def test_an_abort_leaves_the_rest_unrecorded(signals):
    results, recorder = Results(), KeepingRecorder()
    results.put(a_judged(an_inspection(seq=1)))
    signals.abort.set()
    assert not RecordWorker(results, recorder, signals.abort, wait_s=0.001).step()
    assert recorder.seqs == []


def test_the_pipeline_finishes_what_the_sinks_hold():
    line, recorder = Line(5), KeepingRecorder()
    pipeline = Pipeline(line.intake, CountingJudge(), recorder)
    pipeline.start()
    assert pipeline.alive
    assert pipeline.finish(20)
    assert recorder.seqs == [1, 2, 3, 4, 5]
    assert not pipeline.alive
    assert pipeline.failure is None


def test_a_worker_that_fails_ends_both_and_is_named():
    line = Line(1)
    pipeline = Pipeline(line.intake, CountingJudge(failing=True), KeepingRecorder())
    pipeline.start()
    assert pipeline.finish(20)
    assert pipeline.failure == "detector: ValueError: no such thing"


def test_a_lost_device_ends_the_run_after_its_batch_has_its_verdicts():
    line, recorder = Line(2), KeepingRecorder()
    pipeline = Pipeline(line.intake, CountingJudge(lost=DeviceLostError("cuda:0: gone")), recorder)
    pipeline.start()
    assert pipeline.finish(20)
    assert recorder.seqs == [1, 2]
    assert pipeline.failure == "detector: DeviceLostError: cuda:0: gone"


def test_a_recorder_that_hangs_is_given_up():
    line, release = Line(1), threading.Event()

    class Hanging(KeepingRecorder):
        def record(self, judged, stop) -> bool:
            return release.wait(20)

    pipeline = Pipeline(line.intake, CountingJudge(), Hanging())
    pipeline.start()
    assert not pipeline.finish(0.2)
    release.set()


class Hanging(KeepingRecorder):
    """A judge or recorder that hangs until the test releases it."""

    def __init__(self) -> None:
        self.entered, self.release = threading.Event(), threading.Event()

    def judge(self, frames, alive):
        self.record(frames, None)
        return []

    def check_device(self):
        pass

    def record(self, judged, stop) -> bool:
        self.entered.set()
        return self.release.wait(20)


@pytest.mark.parametrize("part", ["detector", "recorder"])
def test_a_worker_that_hangs_is_named_and_then_ends_the_run(part):
    now, hanging = [0.0], Hanging()
    judge = hanging if part == "detector" else CountingJudge()
    recorder = hanging if part == "recorder" else KeepingRecorder()
    pipeline = Pipeline(Line(1).intake, judge, recorder, lambda: now[0])
    pipeline.start()
    assert hanging.entered.wait(10)
    assert (pipeline.problem, pipeline.failure) == (None, None)
    now[0] = 60.0
    # The other worker looks around every half second; its sign of life comes by itself.
    wait_until(lambda: pipeline.problem == f"the {part} hangs: no progress for 60 s")
    assert pipeline.failure is None
    now[0] = 130.0
    wait_until(lambda: pipeline.failure == f"the {part} hangs: no progress for 130 s")
    assert not pipeline.finish(0.01)
    hanging.release.set()


def test_a_store_that_refuses_for_long_is_no_hang():
    """The recorder waits at its stop signal, which is a sign of life."""
    now, waiting = [0.0], threading.Event()

    class Waiting(KeepingRecorder):
        def record(self, judged, stop) -> bool:
            waiting.set()
            while not stop.wait(0.01):
                pass
            return False

    pipeline = Pipeline(Line(1).intake, CountingJudge(), Waiting(), lambda: now[0])
    pipeline.start()
    assert waiting.wait(10)
    now[0] = 1000.0
    wait_until(lambda: pipeline.problem is None)
    assert not pipeline.finish(0.01)
