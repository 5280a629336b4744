"""The caller of a use case: a key of the HTTP API, or an operator on a terminal. Access is checked here only."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from authoring.errors import BadInput
from runtime.api_keys import SCOPES, ApiKey, Scope, names_key
from service.errors import Forbidden

_LONGEST_NOTE: Final = 100  # characters of a key's note in the name of its caller


@dataclass(frozen=True)
class Caller:
    """The caller of a use case."""

    id: str  # the key's id. Limits count by it.
    name: str  # the name that operations record: the note of a key and its id
    scopes: Collection[Scope]  # the actions that the caller may take
    scenarios: Collection[str] | None = None  # the only scenarios that the caller may use, or None for all
    rate: float | None = None  # the caller's own limit of requests per second, or None for the gateway's

    def has(self, scope: Scope) -> bool:
        return scope in self.scopes

    def may_use(self, scenario: str | None) -> bool:
        """Return True if the caller may use a scenario; for None, all scenarios."""
        return self.scenarios is None or scenario in self.scenarios

    def require(self, scope: Scope) -> None:
        if not self.has(scope):
            raise Forbidden(f"this key lacks the scope '{scope}'")

    def check(self, scenario: str | None, where: str = "?scenario=") -> None:
        """Raise Forbidden if the caller may not use a scenario, which `where` names; for None, all scenarios."""
        if not self.may_use(scenario):
            limits = "other scenarios" if scenario is not None else f"some scenarios: name one of them, {where}"
            raise Forbidden(f"this key is for {limits}")

    def check_journey(self, journey: str, scenario: str | None = None) -> None:
        """Raise Forbidden if the caller may not use a journey's scenario.

        If that is not known, it is the beginning of the id, unless an engine has started the journey under another id.
        """
        self.check(scenario or journey.partition("/")[0])

    def check_all(self) -> None:
        if self.scenarios is not None:
            raise Forbidden("this key is limited to some scenarios: use a key for all scenarios")

    def operator(self, stated: str | None) -> str:
        """Return the operator to record: the stated name and the key. Raise BadInput if the name looks like a key."""
        if stated is None:
            return self.name
        if names_key(stated):
            sentence = "an operator's name must not name a key: the key of the request is recorded beside it"
            raise BadInput(sentence, at=["operator"], code="operator")
        return f"{stated} ({'terminal' if self.id == TERMINAL.id else f'key {self.id}'})"


def caller_with(key: ApiKey) -> Caller:
    note = " ".join(key.note.split())[:_LONGEST_NOTE]
    name = f"{note} (key {key.id})" if note else f"key {key.id}"
    return Caller(key.id, name, key.scopes, key.scenarios, key.rate)


TERMINAL: Final = Caller("terminal", "terminal", SCOPES)
"""A person with the settings of a worker at hand, who may do anything."""
