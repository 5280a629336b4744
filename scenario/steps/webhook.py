"""The step that sends an HTTP request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import replace
from typing import Any, ClassVar, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import override

from scenario.liquid.shapes import Kind
from scenario.model.batch import CONTACTS, BatchCall
from scenario.model.parts import Body, File, Name, OnUnknown, Save, Template, UrlPath, optional
from scenario.plan.retry import STORED
from scenario.steps.base import Compiler, TemplateSource
from scenario.steps.delivery import ON_UNKNOWN, Batching, DeliveryStep, Send
from scenario.type_guards import is_list, is_mapping, mapping_at

Content = Literal["json", "form", "text"]
BODIES: Final[Mapping[Content, Kind]] = {"json": "json", "form": "form", "text": "plain"}
"""The output kind of a body's templates, by content type."""
NO_SAVE: Final = "a batch call has no 'save': its response is about many contacts. Read it with 'batch.results'"
NO_FORM: Final = "a batch call is written as json or text: a form has no lists of objects"
NO_LOOP: Final = f"a batch call's body loops over '{CONTACTS}', such as $for: person in {CONTACTS}"
_FILE: Final = {"type": "object", "required": ["file"], "maxProperties": 1}
LOOK_UP: Final = "GET"
"""The method of a look-up, which only reads."""
NO_BODY: Final = f"a look-up ({LOOK_UP}) has no body: write what it asks for into 'url' or 'path', or use POST"


def body_fault(content: Content, body: object) -> str | None:
    """Return why a body does not fit the content type, or None. A file stands for the text that replaces it."""
    is_text = isinstance(body, str | File)
    if content == "text" and not is_text:
        return "plain text is written as text, or as {file: …}: for keys and values, 'content' is json or form"
    if content == "form" and not isinstance(body, Mapping):
        return "a form's body is written as keys with values, its fields"
    return None


_EACH: Final = f"{{% for person in {CONTACTS} %}}{{{{ person."


class Webhook(DeliveryStep):
    """Sends an HTTP request to another system."""

    kind: ClassVar[str] = "webhook"
    channel: ClassVar[str] = "webhook"
    templates: ClassVar[Mapping[str, Kind]] = {"url": "url", "path": "path"}
    texts: ClassVar[tuple[str, ...]] = ("body",)
    synonyms: ClassVar[tuple[str, ...]] = ("http", "call", "request", "post", "whatsapp", "push")
    secrets: ClassVar[bool] = True
    together: ClassVar[Mapping[str, Any]] = {
        "oneOf": [{"required": ["url"]}, {"required": ["to"]}],
        "dependentRequired": {"path": ["to"]},
        "allOf": [
            {
                "if": {"required": ["content"], "properties": {"content": {"const": content}}},
                "then": {"properties": {"body": body}},
            }
            for content, body in (
                ("form", {"type": "object", "not": _FILE}),
                ("text", {"anyOf": [{"type": "string"}, _FILE]}),
            )
        ]
        + [
            {
                "if": {"required": ["method"], "properties": {"method": {"const": "GET"}}},
                "then": {"not": {"required": ["body"]}},
            },
            {
                "if": {"required": ["batch"]},
                "then": {
                    "required": ["body"],
                    "not": {"required": ["save"]},
                    "properties": {"content": {"enum": ["json", "text"]}},
                },
            },
        ],
    }

    webhook: Name
    # Fields that the language gained later are left out of documents at their defaults. A scenario that was published
    # before keeps its digest, and is the same version when it is published again.
    url: Template | None = optional("URL with Liquid after its host; scheme, host and port are plain text.")
    to: Name | None = optional("Name of a destination, instead of a URL.")
    path: UrlPath | None = optional("What follows the destination's URL, with Liquid.")
    method: Literal["POST", "PUT", "PATCH", "DELETE", "GET"] = "POST"
    headers: dict[str, Template] = Field(default_factory=dict, description="Header fields, their values with Liquid.")
    content: Content = Field(
        default="json",
        exclude_if=lambda content: content == "json",
        description="How the body is written: as JSON, as a form's fields, or as plain text.",
    )
    body: Body | None = Field(
        default=None, description="JSON with Liquid: as text, or as keys and values with Liquid in its texts."
    )
    save: Save | None = optional("Keep the response for later templates and conditions.")
    on_unknown: OnUnknown = Field(default="retry", description=ON_UNKNOWN)
    batch: BatchCall | None = optional("Sends one request for many contacts, which its body loops over.")

    @classmethod
    @override
    def complaint(cls, given: Set[str]) -> tuple[str, str] | None:
        if given.isdisjoint(("url", "to")):
            return "webhook", "a webhook needs 'url', or 'to' with the name of a destination"
        if "url" in given and "to" in given:
            return "to", "a webhook has 'url' or 'to', not both: a destination brings its own URL"
        if "path" in given and "to" not in given:
            return "path", "'path' goes with 'to': write the whole address in 'url'"
        if "batch" in given and "save" in given:
            return "save", NO_SAVE
        if "batch" in given and "body" not in given:
            return "batch", NO_LOOP
        return None

    @classmethod
    @override
    def sources(cls, keys: Mapping[str, Any]) -> Iterator[TemplateSource]:
        yield from super().sources(keys)
        content, body = keys.get("content", "json"), keys.get("body")
        is_file = set(mapping_at(keys, "body")) == {"file"}
        written = content if isinstance(content, str) and content in BODIES else None
        is_template = body and not is_file and (isinstance(body, str) or is_mapping(body) or is_list(body))
        if written and is_template and body_fault(written, body) is None:
            yield TemplateSource(("body",), BODIES[written], body)
        batch = keys.get("batch")
        key = batch.key if isinstance(batch, BatchCall) else batch.get("key") if is_mapping(batch) else None
        if isinstance(key, str) and key:  # by which a response names an item: it is read of each item
            yield TemplateSource(("batch", "key"), "plain", f"{_EACH}{key} }}}}{{% endfor %}}", len(_EACH))
        for name, value in mapping_at(keys, "headers").items():
            if isinstance(value, str):
                yield TemplateSource(("headers", name), "header", value)

    @classmethod
    @override
    def saves(cls, keys: Mapping[str, Any]) -> Any:
        return keys.get("save")

    @model_validator(mode="after")
    def _written_as(self) -> Self:
        if self.body is None:
            return self
        fault = NO_BODY if self.method == LOOK_UP else body_fault(self.content, self.body)
        if self.batch is not None and self.content == "form":
            fault = NO_FORM
        if fault:
            raise PydanticCustomError("complaint", "{sentence}", {"sentence": fault})
        return self

    @property
    def own(self) -> frozenset[str]:
        """The keys of `retry`, and `timeout`, that the scenario sets instead of leaving them to a destination."""
        timeout = {"timeout"} & self.model_fields_set
        return frozenset(timeout | (self.retry.model_fields_set if "retry" in self.model_fields_set else set()))

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        made: dict[str, Any] = handler(self)
        if self.to is not None:
            if "timeout" not in self.own:
                made.pop("timeout", None)
            made["retry"] = {key: value for key, value in made.get("retry", {}).items() if key in self.own}
        return made

    @property
    @override
    def saved(self) -> Save | None:
        return self.save

    @override
    def compile(self, compiler: Compiler, **more: Any) -> Send:
        sent = super().compile(
            compiler,
            **more,
            to=self.to or urlsplit(self.url or "").hostname or "",
            destination=self.to is not None,
            own_settings=tuple(sorted(STORED.get(key, key) for key in self.own)) if self.to is not None else (),
            save=self.save.name if self.save is not None else None,
            required=self.save is not None and self.save.required,
        )
        if self.batch is None:
            return sent
        needed = (*compiler.item_fields(self.messages()), *compiler.consents.get(self.channel, ()))
        fields, _ = compiler.handed((), needed)
        batching = Batching(within=self.batch.within.total_seconds(), wait=self.batch.wait)
        return replace(sent, fields=fields, item_fields={}, batch=batching)
