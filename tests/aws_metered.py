"""A table in this process that reckons which partition takes how many of the units that are written."""

from collections import Counter

from aws_table import WRITE_BYTES, TableInMemory, _entry, _index_units, _size, _units
from longstop.stores.aws.attributes import Item, Key
from longstop.stores.aws.table import GLOBAL_INDEXES, LOCAL_INDEXES


class MeteredTable(TableInMemory):
    """Local indexes lie in the partitions of their items; a global one has its own."""

    def __init__(self) -> None:
        super().__init__()
        self.written_in: Counter[str] = Counter()
        """Write units, by partition."""

    def write(self, key: Key, item: Item | None, times: int = 2) -> None:
        """Put an item in its place."""
        old = self.items.get(key)
        self.written_in[key[0]] += times * _units(max(_size(old), _size(item)), WRITE_BYTES)
        self.written_in[key[0]] += sum(_index_units(name, old, item) for name in LOCAL_INDEXES)
        for index, (partition, _) in GLOBAL_INDEXES.items():
            was, is_ = (_entry(index, each) for each in (old, item))
            if was != is_:
                self.written_in.update(f"{index}: {each[partition]}" for each in (was, is_) if each is not None)
        super().write(key, item, times)
