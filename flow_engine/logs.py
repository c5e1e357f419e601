"""Structured logs on stderr: one JSON object a line, or something readable on a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer

from flow_engine.secrets.redaction import KNOWN


def configure_logs(level: str) -> None:
    """level: debug, info, warning or error. What libraries log appears from warning on."""
    number = logging.getLevelNamesMapping()[level.upper()]
    readable = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            *([] if readable else [_tracebacks]),
            _console if readable else structlog.processors.JSONRenderer(),
            _without_secrets,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(logging.BASIC_FORMAT))
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler])


# No local variables: they hold what runs had in hand.
_tracebacks = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
_console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


def _without_secrets(logger: object, method: str, line: Any) -> str:
    return KNOWN.text(str(line))


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return KNOWN.text(super().format(record))
