from __future__ import annotations

import multiprocessing
import threading

import numpy as np
import pytest
from dense import make_scene

from segcode.field import threads


@pytest.fixture(params=[1, 3])
def count(request, monkeypatch) -> int:
    monkeypatch.setenv("OMP_NUM_THREADS", str(request.param))
    threads.threads.cache_clear()
    yield request.param
    monkeypatch.undo()
    threads.threads.cache_clear()


def test_as_many_threads_as_the_environment_says(count):
    assert threads.threads() == count
    elsewhere = threads.Later(threading.get_ident).result() != threading.get_ident()
    assert elsewhere == (count > 1)


def test_threads_solve_what_one_does(count):
    scene = make_scene(0, labels=5)
    right = np.random.default_rng(0).standard_normal((30, 7))
    dense = scene.precision.matrix.toarray()
    assert scene.precision.solve(right) == pytest.approx(np.linalg.solve(dense, right))
    assert scene.precision.solve(right[:, 0]) == pytest.approx(np.linalg.solve(dense, right[:, 0]))
    assert scene.precision.solve(right[:, :0]).shape == (30, 0)


def test_with_one_thread_work_is_done_once_it_is_asked_for(count):
    done = []
    later = threads.Later(lambda: done.append(7))
    if count == 1:
        assert not later.done
        assert done == []
    later.result()
    later.result()
    assert later.done
    assert done == [7]


def test_an_error_is_raised_where_it_is_waited_for(count):
    with pytest.raises(ZeroDivisionError):
        threads.Later(lambda: 1 / 0).result()


def test_a_forked_process_has_threads_of_its_own(count):
    assert threads.Later(lambda: 7).result() == 7
    child = multiprocessing.get_context("fork").Process(target=lambda: threads.Later(lambda: 7).result())
    child.start()
    child.join(60)
    assert child.exitcode == 0
