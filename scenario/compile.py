"""From a scenario to the plan that journeys run: every step named, linked to its successors, its fields listed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final
from urllib.parse import urlsplit

from scenario import liquid, model
from scenario.items import spelled
from scenario.plan import PATH_SEPARATOR, RETRY_WORDS, Exit, ExitRule, If, Plan, Retry, Send, Step, Wait, WaitFor


def step_ids(scenario: model.Scenario) -> dict[int, str]:
    """Every step's id by the identity (`id()`) of its model: ``id:``, else its name, else one made from its place.

    The place counts from 1 and names the branch: ``wait-2``, ``webhook-5.then.1``.
    """
    return {id(step): name for step, name, _ in walk(scenario.steps)}


def walk(
    steps: Sequence[model.Step], place: str = "", path: tuple[str | int, ...] = ("steps",)
) -> Iterator[tuple[model.Step, str, tuple[str | int, ...]]]:
    """Goes through all steps in the order of the file.

    Yields:
        The step, its id, and its path in the file (``("steps", 4, "then", 0)``).
    """
    for index, step in enumerate(steps):
        here = f"{place}{index + 1}"
        yield step, step.id or _name(step) or f"{_kind(step)}-{here}", (*path, index)
        for key, branch in branches(step):
            yield from walk(branch, f"{here}.{key}.", (*path, index, key))


def branches(step: model.Step) -> tuple[tuple[str, Sequence[model.Step]], ...]:
    """The step lists inside a step, by their key."""
    if isinstance(step, model.If | model.WaitFor):
        return (("then", step.then), ("else", step.otherwise))
    return ()


def _kind(step: model.Step) -> str:
    tag = model.kind_of(step)
    assert tag is not None  # noqa: S101 the union has no other members
    return tag.strip("<>")


def _name(step: model.Step) -> str | None:
    match step:
        case model.Email():
            return step.email
        case model.Sms():
            return step.sms
        case model.Webhook():
            return step.webhook
        case _:
            return None


def compile_plan(scenario: model.Scenario) -> Plan:
    """Compiles a checked scenario.

    Raises:
        TemplateError: A template that `scenario.check` would have reported.
    """
    ids = step_ids(scenario)
    table: dict[str, Step] = {}
    start = _compile(scenario.steps, None, ids, table)
    assert start is not None  # noqa: S101 the model asks for at least one step
    return Plan(
        start=start,
        steps=table,
        exit=tuple(ExitRule(event=rule.event, condition=rule.condition) for rule in scenario.exit),
        zone=scenario.timezone,
    )


def _compile(
    steps: Sequence[model.Step], after: str | None, ids: Mapping[int, str], table: dict[str, Step]
) -> str | None:
    """Adds a list of steps to the table; returns the id of the first, or `after` where the list is empty."""
    if not steps:
        return after
    for index, step in enumerate(steps):
        following = ids[id(steps[index + 1])] if index + 1 < len(steps) else after
        name = ids[id(step)]
        table[name] = _PENDING  # the table keeps the order of the file, branches behind their fork
        table[name] = _step(step, following, ids, table)
    return ids[id(steps[0])]


_PENDING: Final = Exit(kind="exit", reason="")


def _step(step: model.Step, following: str | None, ids: Mapping[int, str], table: dict[str, Step]) -> Step:
    match step:
        case model.Email() | model.Sms() | model.Webhook():
            return _send(step, following)
        case model.Wait():
            return _wait(step, following)
        case model.WaitFor():
            return WaitFor(
                kind="wait_for",
                event=step.wait_for,
                condition=step.condition,
                seconds=None if step.timeout is None else step.timeout.total_seconds(),
                since=step.since,
                then=_compile(step.then, following, ids, table),
                otherwise=_compile(step.otherwise, following, ids, table),
            )
        case model.If():
            return If(
                kind="if",
                condition=step.condition,
                then=_compile(step.then, following, ids, table),
                otherwise=_compile(step.otherwise, following, ids, table),
            )
        case model.Exit():
            return Exit(kind="exit", reason=step.exit)


def _send(step: model.Email | model.Sms | model.Webhook, following: str | None) -> Send:
    kind = _kind(step)
    assert kind in ("email", "sms", "webhook")  # noqa: S101
    fields, items = handed(templates(step), _ALWAYS[kind])
    return Send(
        kind=kind,
        next=following,
        to=_to(step) if isinstance(step, model.Webhook) else "",
        fields=fields,
        items=items,
        retry=Retry(
            initial=step.retry.initial_interval.total_seconds(),
            coefficient=step.retry.backoff_coefficient,
            maximum=step.retry.maximum_interval.total_seconds(),
            deadline=step.retry.deadline.total_seconds(),
            attempts=step.retry.maximum_attempts,
        ),
        timeout=step.timeout.total_seconds(),
        on_failure=step.on_failure,
        on_unknown=step.on_unknown,
        destination=isinstance(step, model.Webhook) and step.to is not None,
        own=_own(step) if isinstance(step, model.Webhook) else (),
        save=step.save.name if isinstance(step, model.Webhook) and step.save is not None else None,
    )


def _to(step: model.Webhook) -> str:
    return step.to or urlsplit(step.url or "").hostname or ""


def _own(step: model.Webhook) -> tuple[str, ...]:
    """What the step sets itself, in the words of the plan; without a destination nobody asks."""
    return tuple(sorted(RETRY_WORDS.get(key, key) for key in step.own)) if step.to is not None else ()


def _wait(step: model.Wait, following: str | None) -> Wait:
    match step.wait:
        case model.Until() as until if until.is_date:
            return Wait(
                kind="wait",
                next=following,
                date=until.until,
                offset=until.offset.total_seconds(),
                on_failure=step.on_failure,
            )
        case model.Until() as until:
            return Wait(kind="wait", next=following, clock=until.until, days=tuple(until.on or ()))
        case duration:
            return Wait(kind="wait", next=following, seconds=duration.total_seconds())


_ALWAYS: Final = {
    "email": (("contact", "email"), ("contact", "language")),
    "sms": (("contact", "cellphone"), ("contact", "language")),
    "webhook": (),
}
CALLBACK: Final = ("journey", "callback_url")
"""What a template names that wants an address to call back to. It is made for the delivery: the journey has none."""
_PROVIDED: Final = frozenset({"now", "today", "secrets"})
"""Roots that the activity adds itself: handing them over would only make histories longer."""


def handed(
    sources: Iterable[tuple[Any, liquid.Kind]], always: Iterable[tuple[str, ...]] = ()
) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """What a step is handed of the journey's data, for `scenario.context.pick`.

    Args:
        sources: Its templates, and what each is for.
        always: Fields that it needs whole, whatever its templates name.

    Returns:
        The fields that they name, without those that another one contains, sorted. And of those that may be lists what
        is read of each item, where that is known field by field.

    Raises:
        TemplateError: A template that `scenario.check` would have reported.
    """
    sources, always = list(sources), frozenset(always)
    named = always.union(*(liquid.fields(source, kind=kind) for source, kind in sources))
    # A segment with a dot in it cannot be written as a path: its parent goes along whole instead.
    paths = {_cut(path) for path in named if path and path[0] not in _PROVIDED}
    kept = {path for path in paths if not any(path[:length] in paths for length in range(1, len(path)))}
    kept |= paths & {CALLBACK}
    needs = liquid.needs(sources)
    items: dict[str, tuple[str, ...]] = {}
    for path in sorted(kept - always):
        each = needs.of_lines(path)
        if each is not None and (names := spelled(each)) is not None:
            items[PATH_SEPARATOR.join(path)] = names
    return tuple(sorted(PATH_SEPARATOR.join(path) for path in kept)), items


def named_secrets(step: model.Webhook) -> frozenset[str] | None:
    """The names of the secrets that a webhook's templates may read; None where one works the name out as it goes.

    Raises:
        TemplateError: A template that `scenario.check` would have reported.
    """
    paths = {path for source, kind in templates(step) for path in liquid.fields(source, kind=kind)}
    asked = [path[1:2] for path in paths if path[0] == "secrets"]
    return None if () in asked else frozenset(name for (name,) in asked)


def _cut(path: tuple[str, ...]) -> tuple[str, ...]:
    for index, segment in enumerate(path):
        if PATH_SEPARATOR in segment:
            return path[:index]
    return path


BODIES: Final[Mapping[model.Content, liquid.Kind]] = {"json": "json", "form": "form", "text": "plain"}
"""What a body's templates make, by how it is written."""


def templates(step: model.Step) -> Iterator[tuple[Any, liquid.Kind]]:
    """The templates of a step's messages, and what each is for.

    Yields:
        The template's text, or the mapping or list of a structured body; a reference to a file that was not read is
        passed over.
    """
    if not isinstance(step, model.Email | model.Sms | model.Webhook):
        return
    named: Iterator[tuple[Any, liquid.Kind]] = ((getattr(step, key), kind) for key, kind in step.templates.items())
    if isinstance(step, model.Webhook):
        headers: Iterator[tuple[Any, liquid.Kind]] = ((value, "header") for value in step.headers.values())
        named = chain(named, headers, [(step.body, BODIES[step.content])])
    yield from (pair for pair in named if isinstance(pair[0], str | Mapping | list))
