"""Which pairs each worker takes: neighbouring ones, and every one once, whoever comes and goes."""

from hypothesis import given
from hypothesis import strategies as st

from saematch.numerics.held import Held
from saematch.workflows.worker_blocks import Blocks


def reads(asking, pairs, blocks):
    """How often SAEs are read where these workers ask in turn."""
    found = []
    held = {worker: Held(found.append) for worker in asking}
    for k in range(len(pairs)):
        worker = asking[k % len(asking)]
        for sae in blocks.take(worker):
            held[worker][sae]
    return len(found)


def test_neighbouring_pairs_on_two_workers_cost_seven_reads():
    pairs = [(k, k + 1) for k in range(5)]
    assert reads("ab", pairs, Blocks(pairs, "ab")) == 7
    # by turns, as a scheduler that knows nothing of SAEs would have it
    by_turns = Blocks([*pairs[::2], *pairs[1::2]], "ab")
    assert reads("ab", pairs, by_turns) == 10


def test_one_that_has_nothing_left_takes_the_second_half_of_the_longest():
    blocks = Blocks(range(10), ["a", "b"])
    assert [blocks.take("b") for _ in range(5)] == [5, 6, 7, 8, 9]
    assert blocks.take("a") == 0
    assert [blocks.take("b") for _ in range(2)] == [3, 4]
    assert [blocks.take("new") for _ in range(1)] == [2]
    assert [blocks.take("b"), len(blocks)] == [1, 0]


@given(st.integers(0, 30), st.integers(0, 5), st.data())
def test_every_item_is_taken_once(count, workers, data):
    blocks = Blocks(range(count), [str(k) for k in range(workers)])
    taken = []
    while blocks:
        # also workers that came later, while others are gone
        taken.append(blocks.take(str(data.draw(st.integers(0, 6)))))
        assert len(blocks) == count - len(taken)
    assert sorted(taken) == [*range(count)]
