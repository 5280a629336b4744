"""The journal: what must not be forgotten when the store is restored from a backup, kept outside the store.

It has erasures, suppressions and unsubscriptions, their removals, and the closing and opening of scenarios, as HMACs.
The store's outbox (`runtime.store.journal`) holds each change until it is in the journal.
"""
