"""What must be remembered beyond Temporal: published scenarios, who was admitted, and what was sent.

async with Store.open(url) as store:
    version = await store.publish("post-purchase", document, plan, digest)
    answer = await store.admit(AdmissionRequest(...))
"""

from runtime.errors import (
    StoreAddressError,
    StoreError,
    StoreFault,
    StoreMismatch,
    StoreMissing,
    StoreOutdated,
    StoreTooNew,
    StoreUnavailable,
)
from runtime.store.accepted_entries import AcceptedEntry
from runtime.store.admission import AdmissionRequest, Again, AlreadyIn, LetIn, StoredEntry
from runtime.store.claims import Claim
from runtime.store.closures import Closure
from runtime.store.deliveries import Attempt, Attempted, Outcomes
from runtime.store.entries import Population
from runtime.store.goals import Tally
from runtime.store.namespace_claims import NamespaceClaim
from runtime.store.operations import OperationItem, StoredOperation
from runtime.store.passages import Passage, Passed
from runtime.store.store import Store
from runtime.store.versions import Listed, Newest, Published
from runtime.store.writer import AttemptWriter

__all__ = [
    "AcceptedEntry",
    "AdmissionRequest",
    "Again",
    "AlreadyIn",
    "Attempt",
    "AttemptWriter",
    "Attempted",
    "Claim",
    "Closure",
    "LetIn",
    "Listed",
    "NamespaceClaim",
    "Newest",
    "OperationItem",
    "Outcomes",
    "Passage",
    "Passed",
    "Population",
    "Published",
    "Store",
    "StoreAddressError",
    "StoreError",
    "StoreFault",
    "StoreMismatch",
    "StoreMissing",
    "StoreOutdated",
    "StoreTooNew",
    "StoreUnavailable",
    "StoredEntry",
    "StoredOperation",
    "Tally",
]
