"""Rendering of a step's message by its channel, with stand-ins for URLs, and the place at which a template fails."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self

from activities.channel import RenderContext, RenderedMessage, Unsendable, adapter
from activities.email.settings import ANY, Senders
from activities.evaluation import CallbackUrls, UnsubscribeUrls, subscriber_of, template_data
from activities.interface import Delivery
from authoring.publishing import ScenarioFile
from scenario import liquid
from scenario.check.check import inline_files
from scenario.check.structure import check_structure
from scenario.check.templates import Template, templates
from scenario.errors import Aborted, BadRecipient, NotConfigured, TemplateError
from scenario.model.scenario import Scenario, load, outline
from scenario.plan.compile import named_steps
from scenario.recipients import Mailbox
from scenario.source.findings import Finding, clip
from scenario.source.report import Report
from scenario.source.source import Path as Place
from scenario.source.source import Source
from scenario.steps.base import BaseStep
from scenario.steps.delivery import DeliveryStep
from scenario.time import LAST
from scenario.type_guards import is_list, is_mapping, mapping_or_empty, walk

if TYPE_CHECKING:
    from liquid.expression import Expression

    from activities.webhook.destinations.destinations import Destinations
    from runtime.public_links import Subscriber

SENDERS: Final = Senders(Mailbox("sender@example.com", "Sender"), frozenset({ANY}))
"""The sender if SCENARIO_MAIL_FROM is not set."""
BASE: Final = "https://callbacks.example.com"  # the base of callback URLs if SCENARIO_CALLBACK_URL is not set
ROOT: Final = "00000000-0000-0000-0000-000000000000"  # the run id of a journey that was never started


class StandIn:
    """Makes URLs that look like `journey.callback_url` and do nothing."""

    def __init__(self, base: str = BASE) -> None:
        from runtime.public_links import Callbacks

        self._real = Callbacks(base, [bytes(32)])

    def url(self, workflow_id: str, root: str, delivery_id: str, now: datetime) -> str:
        now = min(now, LAST - timedelta(days=366_000))  # an address lives on from its step: not beyond the end of time
        return _without_token(self._real.url(workflow_id, root, f"msg_{0:032}", now))


class UnsubscribeStandIn:
    """Makes URLs that look like `journey.unsubscribe_url` and do nothing."""

    def __init__(self, base: str = BASE) -> None:
        from runtime.public_links import Unsubscribing

        self._real = Unsubscribing(base, [bytes(32)])

    def url(self, subscriber: Subscriber) -> str:
        return _without_token(self._real.url(subscriber))


def _without_token(url: str) -> str:
    base, slash, token = url.rpartition("/")
    return f"{base}{slash}{'preview'.ljust(len(token), '0')}"


@dataclass(frozen=True)
class NothingToSend:
    """Nothing to send: no address, or a template aborted."""

    reason: str


@dataclass(frozen=True)
class RenderProblem:
    """Why a step cannot be performed."""

    message: str
    error: TemplateError | None = None  # the template's error, if a template is the reason
    data: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False, compare=False)
    unread: str | None = field(default=None, repr=False, compare=False)  # the text that was to be a date, and is none


Result = RenderedMessage | NothingToSend | RenderProblem


@dataclass(frozen=True)
class EmptyOutput:
    """An output that printed nothing, or null in JSON, and its place in the text of its template."""

    expression: str
    source: str = field(repr=False)
    offset: int

    @classmethod
    def all_of(cls, expressions: Iterable[Expression]) -> tuple[Self, ...]:
        """Return recorded expressions without repetitions, which loops cause."""
        once = {(one.token.source, one.token.start_index): one for one in expressions}
        return tuple(cls(str(one), source, offset) for (source, offset), one in once.items())


def placeholder(step: str) -> str:
    """Return a delivery id of the usual length that belongs to no delivery."""
    return f"msg_preview{hashlib.sha256(step.encode()).hexdigest()[:25]}"


@dataclass(frozen=True)
class MessageRenderer:
    """Renders messages."""

    senders: Senders = SENDERS
    callbacks: CallbackUrls = field(default_factory=StandIn)
    unsubscribing: UnsubscribeUrls = field(default_factory=UnsubscribeStandIn)
    identify: Callable[[str], str] = placeholder
    book: Destinations | None = None  # The destinations. If None, a URL begins with the destination's name.
    to: str | None = None  # recipient of e-mails and SMS instead of the contact

    @classmethod
    def configured(
        cls, sender: str | None, allowed: str | None, base: str | None, book: Destinations | None = None
    ) -> Self:
        """Return the renderer of SCENARIO_MAIL_FROM, SCENARIO_MAIL_FROM_ALLOWED and SCENARIO_CALLBACK_URL."""
        base = base or BASE
        return cls(
            senders=Senders.configured(sender, allowed) if sender else SENDERS,
            callbacks=StandIn(base),
            unsubscribing=UnsubscribeStandIn(base),
            book=book,
        )

    def render(self, step: BaseStep, delivery: Delivery, journey: str, scenario: Scenario) -> Result:
        """Render a delivery. Raise BadRecipient if `to` is not a valid recipient."""
        assert isinstance(step, DeliveryStep)  # noqa: S101 no other step is delivered
        try:
            subscriber = subscriber_of(scenario, step, delivery.contact, delivery.data)
        except BadRecipient:
            subscriber = None  # rendering reports it, unless the message has another recipient
        unsubscribe_url = self.unsubscribing.url(subscriber) if subscriber else ""
        seen = template_data(delivery, journey, self.callbacks, unsubscribe_url)
        context = RenderContext(senders=self.senders, book=self.book, to=self.to)
        try:
            return adapter(step.channel).render(step, delivery, seen, context)
        except Aborted as aborted:
            return NothingToSend(aborted.reason)
        except TemplateError as error:
            return RenderProblem(str(error), error, seen)
        except BadRecipient as error:
            if self.to is not None:
                raise
            return RenderProblem(str(error))
        except (NotConfigured, Unsendable) as error:
            return RenderProblem(str(error))


def render_again(document: Mapping[str, Any], renderer: MessageRenderer, delivery: Delivery, journey: str) -> Result:
    """Render a delivery by the document of its version."""
    scenario = load(document)
    step = dict(named_steps(scenario)).get(delivery.step)
    if step is None:
        return RenderProblem(f"{delivery.scenario} has no step '{delivery.step}'")
    return renderer.render(step, delivery, journey, scenario)


def described(result: Result) -> dict[str, Any]:
    """Return a result as JSON data: ``request``, ``message``, ``skipped`` or ``error``."""
    match result:
        case NothingToSend(reason=reason):
            return {"skipped": reason}
        case RenderProblem(message=message):
            return {"error": message}
        case message:
            return message.describe()


_RENDER: Final[Mapping[str, Callable[[Any, Mapping[str, Any]], object]]] = {
    "text": liquid.render_text,
    "line": liquid.render_line,
    "mailbox": liquid.render_mailbox,
    "html": liquid.render_html,
    "json": liquid.render_json,
    "form": liquid.render_form,
    "plain": liquid.render_plain,
    "url": liquid.render_url,
    "path": liquid.render_path,
    "header": liquid.render_header,
    "condition": liquid.evaluate_condition,
    "value": liquid.evaluate_value,
}
_CODE: Final = "preview"


class TemplateLocator:
    """Finds places in a scenario's file, which it reads on first use."""

    def __init__(self, file: ScenarioFile) -> None:
        self._file = file
        self._report: Report | None = None
        self._data: Any = None
        self._steps: dict[str, Place] = {}
        self._found: dict[tuple[Place, str, bool, int | None], Finding] = {}

    def find(self, step: str, problem: RenderProblem) -> Finding:
        """Return the finding for a step's problem, at the failing output if a template fails."""
        self._read()
        place = self._steps.get(step, ())
        message = problem.message
        offset, key = None, False
        if problem.error is not None and (found := self._failing(place, problem, problem.error)):
            template, error = found
            place, offset, key, message = _inside(template, error)
        return self._find(place, message, key, offset)

    def find_output(self, step: str, empty: EmptyOutput) -> Finding:
        """Return the finding for an output of a step that printed nothing."""
        self._read()
        place, key, offset = self._steps.get(step, ()), False, None
        for template in self._templates(place):
            if (found := _place_of(template, empty.source)) is not None:
                (place, key), offset = found, empty.offset - template.lead
                break
        return self._find(place, f"{{{{ {clip(empty.expression)} }}}} printed nothing", key, offset)

    def _find(self, place: Place, message: str, key: bool, offset: int | None) -> Finding:
        report, asked = self._read(), (place, message, key, offset)
        if asked not in self._found:
            known = set(report.findings)
            report.add(place, _CODE, message, key=key, offset=offset)
            # A finding at the same place is not repeated.
            new = set(report.findings) - known or {item for item in known if item.message == message}
            self._found[asked] = min(new)
        return self._found[asked]

    def template(self, step: str, problem: RenderProblem) -> Template | None:
        self._read()
        if problem.error is None:
            return None
        found = self._failing(self._steps.get(step, ()), problem, problem.error)
        return found[0] if found else None

    def _failing(
        self, place: Place, problem: RenderProblem, error: TemplateError
    ) -> tuple[Template, TemplateError] | None:
        """Return the template of a step that raises this error, and its own error."""
        failing: list[tuple[Template, TemplateError]] = []
        for template in self._templates(place):
            try:
                _RENDER[template.kind](template.source, problem.data)
            except TemplateError as raised:
                failing.append((template, raised))
            except Aborted:
                continue
        said = (error.reason, error.offset)
        same = (found for found in failing if (found[1].reason, found[1].offset) == said)
        return next(same, failing[0] if failing else None)

    def _templates(self, place: Place) -> Iterator[Template]:
        """Yield the templates of the step at a place, without those of steps in it."""
        inner = [path for path in self._steps.values() if len(path) > len(place)]
        for template in templates(self._data):
            if template.path[: len(place)] == place and all(template.path[: len(path)] != path for path in inner):
                yield template

    def _read(self) -> Report:
        if self._report is None:
            source = Source(self._file.content, self._file.name)
            self._report = Report(source)
            data = check_structure(source, self._report)
            self._data = inline_files(data, self._file.read, self._report)
            self._steps = {step.id: step.path for step in outline(self._data) if step.id is not None}
        return self._report


def _place_of(template: Template, source: str) -> tuple[Place, bool] | None:
    """Return the place of a text in a template, with True for a key, or None if the template does not have it."""
    if isinstance(template.source, str):
        return (template.path, False) if template.source == source else None
    for path, value in walk(template.source):
        if value == source:
            return (*template.path, *path), False
        if path and path[-1] == source:
            return (*template.path, *path), True
    return None


def _inside(template: Template, error: TemplateError) -> tuple[Place, int | None, bool, str]:
    """Return the place of a template's error: the text's path, the index, True for a key, and the message."""
    if isinstance(template.source, str):
        return template.path, (error.offset or template.lead) - template.lead, False, error.reason
    for path, value in walk(template.source):
        if path and _spell(path) == error.at:
            place = (*template.path, *path)
            if "{" in str(path[-1]) and not isinstance(value, str):
                return place, error.offset, True, error.reason
            if (loop := next((form for form in ("$for", "$if") if form in mapping_or_empty(value)), None)) is not None:
                return (*place, loop), error.offset, False, error.reason
            if not is_mapping(value) and not is_list(value):
                return place, error.offset, False, error.reason
    return template.path, error.offset, False, error.sentence


def _spell(path: Place) -> str:
    """Return a path in a body as its compiler spells it."""
    plain = (part[1:] if isinstance(part, str) and part.startswith("$$") else part for part in path)
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in plain).removeprefix(".")
