import threading

import pytest

from segcode.data.prefetch import ahead


def test_items_come_in_their_order() -> None:
    assert list(ahead(str, range(5))) == ["0", "1", "2", "3", "4"]
    assert list(ahead(str, [])) == []


def test_the_next_item_is_read_while_the_last_is_worked_on() -> None:
    started = [threading.Event() for _ in range(3)]

    def read(index: int) -> int:
        started[index].set()
        return index

    items = ahead(read, range(3))
    assert next(items) == 0
    assert started[1].wait(5)
    assert not started[2].is_set()
    items.close()  # type: ignore[attr-defined]


def test_what_reading_raises_is_raised_at_its_turn() -> None:
    items = ahead(lambda number: 1 / number, [1, 0, 2])
    assert next(items) == 1
    with pytest.raises(ZeroDivisionError):
        next(items)
