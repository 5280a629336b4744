"""The page behind a link in a message. Its button sends the event.

Mail servers, chats and virus scanners open every link. A callback URL with an event's name,
``…?name=newsletter.confirmed&list=weekly``, therefore answers GET with a form that posts to the same URL. Other
parameters are the event's properties. The page repeats nothing of the URL.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse

_FORM: Final = "application/x-www-form-urlencoded"
_STYLE: Final = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:30rem;margin:20vh auto;padding:0 1rem;text-align:center}"
    "button{font:inherit;padding:.6rem 2rem;cursor:pointer}"
)
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS: Final = {
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",  # the address is a secret
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}
_ASK: Final = '<form method="post"><button>{button}</button></form>'
_UNSUBSCRIBE: Final = (
    '<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click">'
    '<button name="by" value="page">{button}</button></form>'
)
PRESSED: Final = b"by=page"  # body of a POST from the button of the page for unsubscribing
_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "ask": "Please press the button to confirm.",
        "button": "Confirm",
        "done": "Thank you. You can close this page.",
        "over": "This link has expired.",
        "unknown": "This link does not work: open it exactly as it was sent to you.",
        "later": "This is not possible now. Please try again in a few minutes.",
        "unsubscribe": "Press the button to unsubscribe.",
        "unsubscribe button": "Unsubscribe",
        "unsubscribed": "You are unsubscribed. You can close this page.",
    },
    "fr": {
        "ask": "Cliquez sur le bouton pour confirmer.",
        "button": "Confirmer",
        "done": "Merci. Vous pouvez fermer cette page.",
        "over": "Ce lien a expiré.",
        "unknown": "Ce lien ne fonctionne pas : ouvrez-le exactement tel qu'il vous a été envoyé.",
        "later": "Ce n'est pas possible pour le moment. Réessayez dans quelques minutes.",
        "unsubscribe": "Cliquez sur le bouton pour vous désabonner.",
        "unsubscribe button": "Me désabonner",
        "unsubscribed": "Vous êtes désabonné. Vous pouvez fermer cette page.",
    },
    "de": {
        "ask": "Bitte bestätigen Sie mit der Schaltfläche.",
        "button": "Bestätigen",
        "done": "Vielen Dank. Sie können diese Seite schließen.",
        "over": "Dieser Link ist abgelaufen.",
        "unknown": "Dieser Link funktioniert nicht: Öffnen Sie ihn genau so, wie er Ihnen geschickt wurde.",
        "later": "Das ist gerade nicht möglich. Bitte versuchen Sie es in einigen Minuten noch einmal.",
        "unsubscribe": "Bitte bestätigen Sie die Abmeldung mit der Schaltfläche.",
        "unsubscribe button": "Abmelden",
        "unsubscribed": "Sie sind abgemeldet. Sie können diese Seite schließen.",
    },
    "es": {
        "ask": "Pulse el botón para confirmar.",
        "button": "Confirmar",
        "done": "Gracias. Puede cerrar esta página.",
        "over": "Este enlace ha caducado.",
        "unknown": "Este enlace no funciona: ábralo exactamente como se le envió.",
        "later": "Ahora no es posible. Inténtelo de nuevo en unos minutos.",
        "unsubscribe": "Pulse el botón para darse de baja.",
        "unsubscribe button": "Darme de baja",
        "unsubscribed": "Se ha dado de baja. Puede cerrar esta página.",
    },
}
_SAID: Final = {
    HTTPStatus.OK: "done",
    HTTPStatus.BAD_REQUEST: "unknown",
    HTTPStatus.NOT_FOUND: "unknown",
    HTTPStatus.GONE: "over",
}


def is_link(request: Request) -> bool:
    """Return True if a link with an event's name was opened, or the button of its page pressed."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return "name" in request.query_params and (request.method in ("GET", "HEAD") or media == _FORM)


def asking(request: Request) -> HTMLResponse:
    language = _language(request)
    return _page(language, "ask", HTTPStatus.OK, _ASK.format(button=_WORDS[language]["button"]))


def saying(request: Request, status: int, headers: Mapping[str, str] | None = None) -> HTMLResponse:
    return _page(_language(request), _SAID.get(HTTPStatus(status), "later"), status, headers=headers)


def unsubscribing(request: Request) -> HTMLResponse:
    language = _language(request)
    form = _UNSUBSCRIBE.format(button=_WORDS[language]["unsubscribe button"])
    return _page(language, "unsubscribe", HTTPStatus.OK, form)


def unsubscribed(request: Request) -> HTMLResponse:
    return _page(_language(request), "unsubscribed", HTTPStatus.OK)


def _page(
    language: str, word: str, status: int, more: str = "", headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    text = _WORDS[language][word]
    html = (
        f'<!doctype html><html lang="{language}"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{text}</title><style>{_STYLE}</style>'
        f"<p>{text}</p>{more}</html>"
    )
    return HTMLResponse(html, status, {**(headers or {}), **_HEADERS})


def _language(request: Request) -> str:
    """Return the first supported language in the order of the header, without regard to weights; else English."""
    asked = (part.strip()[:2].lower() for part in request.headers.get("accept-language", "").split(","))
    return next((language for language in asked if language in _WORDS), "en")
