"""Secrets that workflows name and never see: `${ secrets.NAME }`."""

from __future__ import annotations

from flow_engine.secrets.secret import NO_SECRETS, Secret, SecretSource

__all__ = ["NO_SECRETS", "Secret", "SecretSource"]
