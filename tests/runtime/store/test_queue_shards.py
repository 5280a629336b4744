from runtime.store import Store
from tests.runtime.store.conftest import both


@both
async def test_the_highest_number_of_queues_is_remembered(store: Store) -> None:
    assert [await store.raise_queue_shards(number) for number in (1, 4, 2, 10, 1)] == [1, 4, 4, 10, 10]
