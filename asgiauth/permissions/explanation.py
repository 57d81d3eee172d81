"""Why somebody may do something, or may not: what each source said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from .question import Answer, Question
from .resources import Ref
from .sources import Source

__all__ = ["Explanation", "explained", "printable"]

SUPERUSER = "superuser"


@dataclass(frozen=True)
class Explanation:
    """What `check()` answers, and why. `answers` has every source in the order asked, also those behind the one that
    decided, which are not `reached`; `decided_by` is the name of that one, blank where nobody said yes or no. `ref` is
    the object as far as it has a key.

    `str()` of it is a text for a terminal, without whatever a terminal would obey.
    """

    user: Any
    perm: str
    obj: object | None
    allowed: bool
    answers: tuple[Answer, ...]
    decided_by: str = ""
    ref: Ref | None = None

    @property
    def about(self) -> str:
        """The object in words: `blog.post 42`; blank for none."""
        if self.obj is None:
            return ""
        if isinstance(self.obj, Ref):
            return str(self.obj)
        return str(self.ref) if self.ref is not None else f"a {type(self.obj).__qualname__} without a key"

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "user": self.user.username,
            "perm": self.perm,
            "obj": self.about or None,
            "allowed": self.allowed,
            "decided_by": self.decided_by or None,
            "answers": [{**asdict(one), "reasons": list(one.reasons)} for one in self.answers],
        }

    def __str__(self) -> str:
        who = self.user.username or "anonymous"
        answer = "yes" if self.allowed else "no"
        about = f" on {self.about}" if self.about else ""
        by = f", by {self.decided_by}" if self.decided_by else ""
        width = max(len(one.source) for one in self.answers)
        lines = [f"{who}: {self.perm}{about}: {answer}{by}"]
        for one in self.answers:
            reasons = "; ".join(one.reasons)
            said = f"{_WORDS[one.allowed]}{f': {reasons}' if reasons else ''}"
            lines.append(f"  {one.source:{width}}  {said}{'' if one.reached else ' (decided before)'}")
        return "\n".join(map(printable, lines))


_WORDS = {True: "yes", False: "no", None: "-"}


async def explained(
    question: Question, sources: Sequence[Source], *, is_declared: bool, is_stored: bool
) -> Explanation:
    """Raises what a source that is asked raises; what happens in one that would not be asked is only told."""
    user = question.user
    answers: list[Answer] = []
    decided: Answer | None = None
    if user.is_active and user.is_superuser:
        decided = Answer(SUPERUSER, allowed=True, reasons=("may do everything",))
        answers.append(decided)
    elif not user.is_active:
        answers.append(Answer("anonymous" if user.is_anonymous else "inactive", None, ("holds no grants",)))
    for source in sources:
        answer = await (source.explain(question) if decided is None else _unasked(source, question))
        answers.append(answer)
        if decided is None and answer.allowed is not None:
            decided = answer
    if not is_stored:
        lacking = (
            "declared, but not stored: run asgiauth syncpermissions" if is_declared else "not declared and not stored"
        )
        answers.append(Answer("permission", None, (lacking,)))
    allowed = decided is not None and decided.allowed is True
    by = decided.source if decided is not None else ""
    return Explanation(user, question.perm, question.obj, allowed, tuple(answers), by, question.ref)


async def _unasked(source: Source, question: Question) -> Answer:
    try:
        return replace(await source.explain(question), reached=False)
    except Exception as error:  # noqa: BLE001  the decision does not depend on it
        return Answer(source.name, None, (f"fails: {type(error).__name__}",), reached=False)


def printable(text: str) -> str:
    """Without what a terminal would obey, or turns what is written around: a name of a user or a group may hold
    anything."""
    return "".join(character if character.isprintable() else "�" for character in text)
