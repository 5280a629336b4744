"""What nobody expected: it is answered with a problem, and logged without anything that the request said."""

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
    """An ASGI application around another, out of which no error comes.

    Starlette would answer such a one and raise it all the same, and uvicorn log it with its text and all that stands
    in its traceback.

    Args:
        application: What is guarded.
        refuse: Makes an answer of what is wrong.
    """

    def __init__(self, application: ASGIApp, refuse: Callable[[Problem], ASGIApp] = answer) -> None:
        self._application, self._refuse = application, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._application(scope, receive, watched)
        except ClientDisconnect:  # nobody is there any more
            return
        except Exception as error:
            problem = problem_of(error)
            if problem.code == "failed":
                log_unexpected(error, scope)
            if not begun:
                await self._refuse(problem)(scope, receive, send)


def log_unexpected(error: Exception, scope: Scope) -> None:
    """Logs an error in one line: neither its text nor the request's path, which may say something of a contact."""
    route: Any = scope.get("route")
    where = traceback.extract_tb(error.__traceback__)[-1]
    logger.error(
        "%s at %s:%d while answering %s %s",
        *(type(error).__name__, where.filename, where.lineno, scope["method"]),
        getattr(route, "path", "before any route"),
    )
