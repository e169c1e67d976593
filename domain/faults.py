"""A value that a rule forbids, told as the field that has it and the rule in words."""

from __future__ import annotations

from pydantic import ValidationError


class BadValue(ValueError):
    """``field`` (dotted for a part of a document) breaks ``rule``."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule

    @classmethod
    def first_of(cls, error: ValidationError, under: str = "") -> BadValue:
        """The first fault pydantic found in a document that is the field ``under`` ("": the document has no name)."""
        fault = error.errors(include_url=False)[0]
        names = [under, *(str(part) for part in fault["loc"])]
        rule = str(fault["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
        return cls(".".join(name for name in names if name) or "(body)", rule)
