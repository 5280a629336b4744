"""The store of what must outlive Temporal's retention: published scenarios, admissions and the log of deliveries.

async with Store.open(url) as store:
    version = await store.publish("post-purchase", document, plan, digest)
    answer = await store.admit(AdmissionRequest(...))
"""

from runtime.errors import StoreError, StoreMismatch, StoreUnavailable
from runtime.store.admission import AdmissionRequest, AdmittedRun, AlreadyEntered, StoredEntry
from runtime.store.claims import CapClaim
from runtime.store.deliveries import Attempt, AttemptCount, BackoffCount, OutcomeCounts
from runtime.store.entries import AcceptedEntry, JourneyCount
from runtime.store.leases import NamespaceClaim
from runtime.store.operations import OperationItem, StoredOperation
from runtime.store.passages import DayCount, GoalCount, Passage, PassageCount
from runtime.store.store import Store
from runtime.store.versions import Closure, StoredVersion
from runtime.store.writer import AttemptWriter

__all__ = [
    "AcceptedEntry",
    "AdmissionRequest",
    "AdmittedRun",
    "AlreadyEntered",
    "Attempt",
    "AttemptCount",
    "AttemptWriter",
    "BackoffCount",
    "CapClaim",
    "Closure",
    "DayCount",
    "GoalCount",
    "JourneyCount",
    "NamespaceClaim",
    "OperationItem",
    "OutcomeCounts",
    "Passage",
    "PassageCount",
    "Store",
    "StoreError",
    "StoreMismatch",
    "StoreUnavailable",
    "StoredEntry",
    "StoredOperation",
    "StoredVersion",
]
