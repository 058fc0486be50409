"""A few cases of each kind of damage: each runs or is refused in one message, soon and in little memory."""

from __future__ import annotations

import pytest

from tests.fuzz.pool import Task, Worker, run_all
from tests.fuzz.table import CRASH, MEMORY, REFUSED, UNEXPECTED, bad, judged, table

FILES, PICTURES = 62, 17


@pytest.mark.parametrize(("kind", "count"), [("files", FILES), ("pictures", PICTURES)])
def test_every_kind_of_damage_runs_or_is_refused(kind, count):
    ends = list(run_all((Task(kind, number, 2) for number in range(count)), jobs=1))
    assert len(ends) == count
    assert not bad(ends), table(ends) + "\n" + "\n".join(f"{end.number}: {end.detail[-500:]}" for end in bad(ends))


FOUND = {
    "a Range of 10^9 values": ("files", 2, 234, "makes a tensor of 2.1e9 values"),
    "two opsets": ("files", 2, 536, "imports two opsets"),
    "metadata that are no text": ("files", 2, 869, "are not text in UTF-8"),
    "a name that is no text": ("files", 2, 2921, "are not text in UTF-8"),
    "a device without an end": ("pictures", 3, 303, "/dev/full does not exist"),
    "an opset of 10^9": ("files", 2, 1156, "cannot be converted"),
}


@pytest.mark.parametrize(("kind", "seed", "number", "words"), FOUND.values(), ids=FOUND)
def test_what_was_found_is_refused(kind, seed, number, words):
    worker = Worker()
    try:
        end = worker.run(Task(kind, number, seed))
    finally:
        worker.close()
    assert end.ending == REFUSED, end
    assert words in end.detail


ANSWERS = {
    "a refusal": ({"code": 2, "output": "lrpc x\nError: no.", "error": ""}, REFUSED),
    "lrpc's own fault": (
        {"code": 2, "output": "lrpc x\nError: lrpc failed unexpectedly (X: y).", "error": ""},
        UNEXPECTED,
    ),
    "a traceback": ({"code": None, "output": "", "error": "Traceback"}, UNEXPECTED),
    "no message": ({"code": 2, "output": "lrpc x\n", "error": ""}, UNEXPECTED),
    "3 GB": ({"code": 0, "output": "", "error": "", "peak": 3 << 30}, MEMORY),
    "a signal": ({"ended": "died", "code": -11, "output": "", "error": ""}, CRASH),
}


@pytest.mark.parametrize(("told", "ending"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_judged(told, ending):
    assert judged("files", 0, "x", told, 1.0, 2 << 30).ending == ending
