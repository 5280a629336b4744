"""How signals, updates and the query reach a journey's course.

Here they are declared once in a process. What a workflow's own class and module declare, the sandbox declares again for
every journey and every replay, see `workflows.journey`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from temporalio import workflow

from workflows.course import Course

Progress = dict[str, Any]


def _update(
    do: Callable[[Course, Any], Progress | Awaitable[Progress]],
    check: Callable[[Course, Any], None],
    name: str,
    description: str,
) -> Any:
    """An update that the course deals with, and which is refused where that refuses it.

    One that comes before admission waits for it, and is checked then.
    """

    @workflow.update(name=name, description=description)
    async def handle(self: Any, argument: Any = None, *_: Any) -> dict[str, Any]:
        if self.course.is_entering:
            await self.course.admission()
            check(self.course, argument)
        answer = do(self.course, argument)
        return await answer if isawaitable(answer) else answer

    @handle.validator
    def validate(self: Any, argument: Any = None, *_: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        if self.course.is_entering:
            self.course.check_record(argument)
        else:
            check(self.course, argument)

    return handle


class Handlers:
    """What comes from outside.

    Every update takes ``{"operator": …, "reason": …}`` and answers with the journey's progress.

    Attributes:
        course: Of the journey.
    """

    course: Course

    @workflow.signal(name="event", description='Something happened: {"name", "properties", optionally "id" and "at"}.')
    def event(self, message: Any = None, *_: Any) -> None:
        """Takes an event."""
        self.course.event(message)

    @workflow.signal(name="contact_changed", description="Fields of the contact that have changed.")
    def contact_changed(self, patch: Any = None, *_: Any) -> None:
        """Takes over changed fields of the contact."""
        self.course.contact_changed(patch)

    @workflow.query(name="progress", description="Where the journey is, what it did, and why it waits.")
    def progress(self) -> dict[str, Any]:
        """Where the journey is; see `docs/integrate/journeys.md` for the fields."""
        return self.course.report()

    retry_step = _update(
        Course.retry_step,
        Course.check_retry_step,
        "retry_step",
        "Tries the held step again, under the same delivery id.",
    )
    retune = _update(
        Course.retune, Course.check_retune, "retune", "Changes the retry policy of the delivery under way, at once."
    )
    skip_step = _update(
        Course.skip_step,
        Course.check_skip_step,
        "skip_step",
        "Gives up the step at which the journey stands, and goes on.",
    )
    leave = _update(Course.leave_journey, Course.check_leave, "leave", "Ends the journey.")
    pause = _update(
        Course.pause,
        Course.check_pause,
        "pause",
        "Starts no further step until resumed. A delivery under way goes on.",
    )
    resume = _update(Course.resume, Course.check_resume, "resume", "Lets a paused journey go on.")
    migrate = _update(
        Course.migrate, Course.check_migrate, "migrate", "Lets the journey go on in another version of its scenario."
    )
