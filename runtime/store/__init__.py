"""What must be remembered beyond Temporal: published scenarios, who was let in, and what was sent.

async with Store.open(url) as store:
    version = await store.publish("post-purchase", document, plan, digest)
    answer = await store.admit(Admission(...))
"""

from runtime.store.admission import Admission, Admitted, Again, AlreadyIn, Entry
from runtime.store.deliveries import Attempt
from runtime.store.errors import (
    StoreAddressError,
    StoreError,
    StoreFault,
    StoreMissing,
    StoreOutdated,
    StoreTooNew,
    StoreUnavailable,
)
from runtime.store.store import DEFAULT_URL, Store, migrate
from runtime.store.versions import Newest, Published
from runtime.store.writer import AttemptWriter

__all__ = [
    "DEFAULT_URL",
    "Admission",
    "Admitted",
    "Again",
    "AlreadyIn",
    "Attempt",
    "AttemptWriter",
    "Entry",
    "Newest",
    "Published",
    "Store",
    "StoreAddressError",
    "StoreError",
    "StoreFault",
    "StoreMissing",
    "StoreOutdated",
    "StoreTooNew",
    "StoreUnavailable",
    "migrate",
]
