import threading

import pytest

from segcode.data.prefetch import pipelined, prefetch
from segcode.errors import DataError


def test_items_come_in_their_order() -> None:
    assert list(prefetch(str, range(5))) == ["0", "1", "2", "3", "4"]
    assert list(prefetch(str, [])) == []


def test_the_next_item_is_read_while_the_last_is_worked_on() -> None:
    started = [threading.Event() for _ in range(3)]

    def read(index: int) -> int:
        started[index].set()
        return index

    items = prefetch(read, range(3))
    assert next(items) == 0
    assert started[1].wait(5)
    assert not started[2].is_set()
    items.close()  # type: ignore[attr-defined]


def test_what_reading_raises_is_raised_at_its_turn() -> None:
    items = prefetch(lambda number: 1 / number, [1, 0, 2])
    assert next(items) == 1
    with pytest.raises(ZeroDivisionError):
        next(items)


def test_items_are_written_in_order_each_while_the_next_is_made() -> None:
    written: list[int] = []
    made = threading.Event()

    def write(item: int) -> None:
        if item == 0:
            assert made.wait(5)
        written.append(item)

    def items():
        yield 0
        made.set()
        yield from (1, 2)

    list(prefetch(write, items()))
    assert written == [0, 1, 2]


@pytest.mark.parametrize("bad", [0, 2])
def test_what_writing_raises_is_raised(bad: int) -> None:
    with pytest.raises(ZeroDivisionError):
        list(prefetch(lambda number: print(1 / (number - bad)), [0, 1, 2]))


def test_an_error_of_a_step_stands_in_the_place_of_its_result_and_stops_no_other_item() -> None:
    def read(item: int) -> int:
        if item == 1:
            raise DataError("not read")
        return item

    def write(item: int, made: float) -> str:
        if item == 3:
            raise DataError("not written")
        return f"{made:g}"

    results = pipelined(range(5), read, lambda item, content: content / 2, write)
    assert list(map(str, results)) == ["0", "not read", "1", "not written", "2"]


def test_errors_of_other_kinds_are_raised_unless_they_are_asked_for() -> None:
    def steps(errors: type[Exception]) -> list[object]:
        return list(pipelined([0, 2], int, lambda item, content: 2 / content, lambda item, made: made, errors))

    with pytest.raises(ZeroDivisionError):
        steps(DataError)
    assert isinstance(steps(Exception)[0], ZeroDivisionError)
    assert steps(Exception)[1] == 1
