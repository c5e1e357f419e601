"""What nodes have in common that open connections of their own."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic.config import JsonDict


def _host(name: str) -> str:
    if any(character.isspace() or character in "/@\\?#" for character in name):
        raise ValueError("this is no host name")
    return name


Host = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_host)]
Port = Annotated[int, Field(ge=1, le=65535)]
Secret = Annotated[str, Field(json_schema_extra={"x-secret": True})]
MAY_HOLD_SECRETS: JsonDict = {"x-may-hold-secrets": True}
"""Mark of a field below which secrets may be named, though it is not one itself."""
