from __future__ import annotations

import secrets
import string
from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable, iscoroutinefunction

from anyio import to_thread

from ..exceptions import ConfigurationError, PasswordRejected, Reason
from ..texts import Texts
from ..texts import texts as english
from .hashers import Hasher, HashSummary, WrappedHasher
from .pepper import Pepper, PepperedHasher
from .policy import PasswordPolicy, unstorable
from .pool import HashingPool
from .validators import MinimumLengthValidator, PasswordStrength, PasswordValidator, StrengthValidator

__all__ = ["Hashed", "Passwords", "is_usable", "unusable"]

_UNUSABLE = "!"


class Hashed(str):
    """An encoded hash, as `auth.passwords.hash()` makes it. Its `repr` does not show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Hashed('***')"


def unusable() -> Hashed:
    """What is stored for a user without a password: `!` and noise, which nothing verifies against (row A15.12)."""
    alphabet = string.ascii_letters + string.digits
    return Hashed(_UNUSABLE + "".join(secrets.choice(alphabet) for _ in range(40)))


def is_usable(encoded: str) -> bool:
    """Whether a password could ever verify against it."""
    return bool(encoded) and not encoded.startswith(_UNUSABLE)


class Passwords:
    """`auth.passwords`: hashes and verifies in threads of its own, never on the event loop. Needs no database."""

    def __init__(self, policy: PasswordPolicy, *, shared: bool = False) -> None:
        self.policy = policy
        self.validators: list[PasswordValidator] = list(policy.validators)
        self._pepper = policy.pepper if isinstance(policy.pepper, Pepper) else Pepper(policy.pepper)
        self.beside_django(shared)
        # a slow rule for new passwords holds up no login
        self._pool, self._judges = (
            HashingPool(slots=policy.hash_slots, queue=policy.hash_queue, patience=policy.hash_patience) for _ in "12"
        )

    def beside_django(self, shared: bool) -> None:
        """`Auth` calls this, once it knows whether Django uses the database, too. Then, unless the policy names
        hashers, passwords are stored as Django does and no hash is rewritten: Django rewrites what is not its own first
        choice at each login, and each rewrite ends sessions. Raises `ConfigurationError` for a pepper, which Django
        does not have."""
        if shared and self._pepper.active:
            raise ConfigurationError(
                "Django uses this database and could not verify a peppered hash: leave PasswordPolicy(pepper=...) out "
                "or, if there are peppered hashes already, take PasswordPolicy.django(pepper=Pepper([...], "
                "active=False)), which rewrites each at its user's next login"
            )
        as_django = shared and self.policy.hashers is PasswordPolicy.hashers
        self._upgrades = not as_django
        self._arrange(PasswordPolicy.django().hashers if as_django else self.policy.hashers)

    async def hash(self, password: str) -> Hashed:
        """Hashes with the preferred hasher. Raises `PasswordRejected` for what cannot be stored exactly, and
        `Unavailable` when too many hashes wait. The policy is not applied: `validate` does that."""
        if reason := unstorable(password):
            raise PasswordRejected([reason])
        return Hashed(await self._pool.run(self._preferred.encode, password))

    async def verify(self, password: str, encoded: str) -> bool:
        """Whether the password is the one. An unusable or unknown `encoded` is False after the same work."""
        return (await self._pool.run(self._verify, password, encoded)) is not None

    async def verify_and_upgrade(self, password: str, encoded: str) -> tuple[bool, Hashed | None]:
        """`verify`, and a stronger hash to store when `encoded` is weaker than the preferred hasher's: never on a
        database that Django uses too, unless the policy names hashers."""
        return await self._pool.run(self._verify_and_upgrade, password, encoded)

    async def wrap(self, encoded: str) -> Hashed:
        """A stored hash of an old scheme, hashed once more, as the policy's `WrappedHasher` does (row A15.16). Raises
        `ValueError` for one that cannot be wrapped, `ConfigurationError` where there is no such hasher, and
        `Unavailable` when too many hashes wait."""
        wrapper = next((hasher for hasher in self._hashers if isinstance(hasher, WrappedHasher)), None)
        if wrapper is None:
            raise ConfigurationError(
                "nothing could read a wrapped hash: list WrappedHasher() in PasswordPolicy(hashers=[...]), or use "
                "hashers=preferring(...), which has it"
            )
        return Hashed(await self._pool.run(wrapper.wrap, encoded))

    @property
    def slots(self) -> int:
        """How many hashes run at once."""
        return self._pool.slots

    async def validate(self, password: str, user: object = None) -> None:
        """Raises `PasswordRejected` with every reason at once, and `Unavailable` when too many passwords wait.

        `user`: whose it is to be; an object with the fields known so far will do. What could not be stored is refused
        for that, and no validator asked.
        """
        if reasons := await self._reasons_against(password, user, self.validators):
            raise PasswordRejected(reasons)

    async def problems(self, password: str, user: object = None) -> list[Reason]:
        """What `validate` would say, as far as it can be told while somebody types: without the validators that ask a
        database or another site. Those are the async ones, unless they say otherwise (`live = True`), and plain ones
        that say so (`live = False`). Raises `Unavailable` when too many passwords wait."""
        asked = [one for one in self.validators if getattr(one, "live", not iscoroutinefunction(one.validate))]
        return await self._reasons_against(password, user, asked)

    async def password_changed(self, password: str, user: object) -> None:
        """Tells every validator that wants to know that this is now the user's password (row A16.5): those with a
        method `password_changed(password, user)`, plain or async. Plain ones run in a thread."""
        for validator in self.validators:
            told = getattr(validator, "password_changed", None)
            if iscoroutinefunction(told):
                await told(password, user)
            elif told is not None and isawaitable(waiting := await to_thread.run_sync(told, password, user)):
                await waiting

    async def strength(self, password: str, user: object = None) -> PasswordStrength:
        """How hard this password is to guess, for a meter beside the field: with the words of the policy's own
        `StrengthValidator`, where it has one. Judges nothing. Raises `MissingDependency` without the extra `strength`,
        and `Unavailable` when too many passwords wait."""
        own = [one for one in self.validators if isinstance(one, StrengthValidator)]
        return await self._judges.run((own[0] if own else StrengthValidator()).strength, password, user)

    def help_texts(self, texts: Texts | None = None) -> list[str]:
        """The rules for new passwords, a sentence each, to show beside the field (row A16.6). `texts`: those of the
        language to say them in; English without."""
        say = texts or english()
        asked = [getattr(one, "get_help_text", None) for one in self.validators]
        rules = [MinimumLengthValidator(self.policy.min_length).get_help_text(), *(ask() for ask in asked if ask)]
        return [say(f"rule.{rule.code}", **rule.params) if isinstance(rule, Reason) else rule for rule in rules]

    def describe(self, encoded: str) -> HashSummary:
        """Algorithm and parameters, with salt and hash masked; algorithm `unusable` or `unknown` without any."""
        if not is_usable(encoded):
            return HashSummary("unusable", {}, "", "")
        hasher = self._hasher_of(encoded)
        return hasher.describe(encoded) if hasher is not None else HashSummary("unknown", {}, "", "")

    async def _reasons_against(
        self, password: str, user: object, validators: Sequence[PasswordValidator]
    ) -> list[Reason]:
        reasons = self.policy.reasons_against(password)
        if unstorable(password) is None:
            own = getattr(self._preferred, "reason_against", None)
            if own is not None and (reason := own(password)):
                reasons.append(reason)
            plain = [one.validate for one in validators if not iscoroutinefunction(one.validate)]
            verdicts = iter(await self._judges.run(_judge, plain, password, user) if plain else ())
            for one in validators:
                is_async = iscoroutinefunction(one.validate)
                reasons += await _reasons(one.validate(password, user) if is_async else next(verdicts))
        return reasons

    def _arrange(self, hashers: Sequence[Hasher]) -> None:
        """The first of them makes hashes."""
        self._peppered = PepperedHasher(hashers, self._pepper)
        first, last = ([self._peppered], []) if self._pepper.active else ([], [self._peppered])
        self._hashers: Sequence[Hasher] = (*first, *hashers, *last)
        self._preferred = self._hashers[0]
        if (prepare := getattr(self._preferred, "prepare", None)) is not None:
            prepare()

    def _hasher_of(self, encoded: str) -> Hasher | None:
        return next((hasher for hasher in self._hashers if hasher.identify(encoded)), None)

    def _verify(self, password: str, encoded: str) -> Hasher | None:
        """The hasher that says yes. A no costs one hash of the preferred cost at least, whatever the reason (D-20)."""
        hasher = self._hasher_of(encoded) if isinstance(encoded, str) and is_usable(encoded) else None
        possible = hasher is not None and isinstance(password, str) and not unstorable(password)
        if hasher is not None and possible and hasher.verify(password, encoded):
            return hasher
        if hasher is None or not possible or self._is_weaker(hasher, encoded):
            self._preferred.encode("a password that nobody has")
        return None

    def _is_weaker(self, hasher: Hasher, encoded: str) -> bool:
        return hasher is not self._preferred or hasher.is_weaker(encoded)

    def _verify_and_upgrade(self, password: str, encoded: str) -> tuple[bool, Hashed | None]:
        hasher = self._verify(password, encoded)
        if hasher is None:
            return False, None
        if not self._upgrades or not self._is_weaker(hasher, encoded):
            return True, None
        try:
            return True, Hashed(self._peppered.renewed(password, encoded))
        except PasswordRejected:  # plain bcrypt, and a password of more than 72 bytes: right, and it stays as it is
            return True, None


_Verdict = Sequence[Reason] | Awaitable[None] | None


def _judge(validations: Sequence[Callable[[str, object], _Verdict]], password: str, user: object) -> list[_Verdict]:
    """In a thread, all of them. One that is async after all leaves something to await."""
    verdicts: list[_Verdict] = []
    for validate in validations:
        try:
            verdicts.append(validate(password, user))
        except PasswordRejected as error:
            verdicts.append(error.reasons)
    return verdicts


async def _reasons(verdict: _Verdict) -> Sequence[Reason]:
    if isinstance(verdict, Sequence):
        return verdict
    try:
        if verdict is not None:
            await verdict
    except PasswordRejected as error:
        return error.reasons
    return ()
