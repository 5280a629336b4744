"""Answers unexpected errors with a problem, and logs them without anything of the request."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api.problem import Problem, answer, problem_of

logger = logging.getLogger(__name__)


class Failsafe:
    """An ASGI application that lets no exception of another one out.

    Starlette would answer and raise it again, and uvicorn would log its text and traceback.
    """

    def __init__(self, application: ASGIApp, refuse: Callable[[Problem], ASGIApp] = answer) -> None:
        self._application, self._refuse = application, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._application(scope, receive, watched)
        except ClientDisconnect:  # the client has gone
            return
        except Exception as error:
            problem = problem_of(error)
            if problem.code == "failed":
                log_unexpected(error, scope)
            if not begun:
                await self._refuse(problem)(scope, receive, send)


def log_unexpected(error: Exception, scope: Scope) -> None:
    """Log an error in one line, without its text and the request's path, which may contain a contact's data."""
    route: Any = scope.get("route")
    where = traceback.extract_tb(error.__traceback__)[-1]
    logger.error(
        "%s at %s:%d while answering %s %s",
        *(type(error).__name__, where.filename, where.lineno, scope["method"]),
        getattr(route, "path", "before any route"),
    )
