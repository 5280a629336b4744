"""An authorization server on this machine, of Authlib: it checks clients, refresh tokens and assertions itself."""

from __future__ import annotations

import base64
import contextlib
import threading
import warnings
from collections.abc import Collection, Generator
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from werkzeug.serving import make_server

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of a module of its own that it is about to leave
    from authlib.integrations.flask_oauth2 import AuthorizationServer
    from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants
    from authlib.oauth2.rfc7523 import JWTBearerGrant
from flask import Flask, request
from joserfc.jwk import RSAKey

CLIENT = "runner"
SECRET = "client-secret-0123456789"
REFRESH = "refresh-token-0123456789"
_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEY = _KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
PUBLIC = _KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


class Client(ClientMixin):
    client_id = CLIENT

    def get_client_id(self) -> str:
        return CLIENT

    def get_allowed_scope(self, scope: Collection[str] | str | None) -> str:
        return scope if isinstance(scope, str) else ""

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in ("client_secret_basic", "client_secret_post")

    def check_grant_type(self, grant_type: str) -> bool:
        return True


class Token(TokenMixin):
    def check_client(self, client: Any) -> bool:
        return client.client_id == CLIENT

    def get_scope(self) -> str:
        return "ads"


class ForClients(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]  # noqa: RUF012


class Refreshing(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]  # noqa: RUF012

    def authenticate_refresh_token(self, refresh_token: str) -> Any:
        return Token() if refresh_token == REFRESH else None

    def authenticate_user(self, refresh_token: TokenMixin) -> str:
        return "someone"

    def revoke_old_credential(self, refresh_token: TokenMixin) -> None:
        """Keep it: it does not rotate."""


class Asserting(JWTBearerGrant):
    def resolve_issuer_client(self, issuer: str) -> Client | None:
        return Client() if issuer == CLIENT else None

    def resolve_client_public_key(self, client: Client) -> RSAKey:
        return RSAKey.import_key(PUBLIC)

    def get_audiences(self) -> list[str]:
        return [request.url]

    def authenticate_user(self, subject: str) -> str | None:
        return subject

    def has_granted_permission(self, client: Client, user: str | None) -> bool:
        return True


@dataclass
class Issuer:
    url: str = ""
    port: int = 0
    expires_in: int = 3600
    issued: list[str] = field(default_factory=list[str])
    forms: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    basic: list[str] = field(default_factory=list[str])
    outage: tuple[int, str] | None = None
    """The status and the body that it answers with instead, if any."""


@contextlib.contextmanager
def issuer(monkeypatch: pytest.MonkeyPatch) -> Generator[Issuer]:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    made, app = Issuer(), Flask("issuer")
    app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"client_credentials": 3600}

    def save(token: dict[str, Any], _: Any) -> None:
        token["expires_in"] = made.expires_in
        made.issued.append(token["access_token"])

    def find(name: str) -> Client | None:
        return Client() if name == CLIENT else None

    server: Any = AuthorizationServer(app, query_client=find, save_token=save)
    for grant in (ForClients, Refreshing, Asserting):
        server.register_grant(grant)

    @app.post("/token")
    def token() -> Any:  # pyright: ignore[reportUnusedFunction]
        made.forms.append(dict(request.form))
        scheme, _, pair = request.headers.get("authorization", "").partition(" ")
        made.basic.append(base64.b64decode(pair).decode() if scheme == "Basic" else "")
        return (made.outage[1], made.outage[0]) if made.outage else server.create_token_response()

    listening = make_server("127.0.0.1", 0, app, threaded=True)
    made.port = listening.server_port
    made.url = f"http://127.0.0.1:{made.port}/token"
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
