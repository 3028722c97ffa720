"""Answers in the daemon's two forms: JSON, and the plain text that Go's `http.Error` writes."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from devnet.provider.canonical import go_json


class Refused(Exception):
    """A request ends with this status and text; whoever catches it picks JSON or plain text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def json_answer(payload: Any, status: int = 200) -> web.Response:
    """`payload` as JSON without a final line feed, as `json.Marshal` gives it."""
    return web.Response(status=status, body=go_json(payload), content_type="application/json")


def json_error(status: int, text: str) -> web.Response:
    """`{"error": text}`, the only form of error that JSON routes use."""
    return json_answer({"error": text}, status)


def plain_error(status: int, text: str) -> web.Response:
    """The text and a line feed, as `http.Error` writes it; logs and shell answer so."""
    return web.Response(status=status, text=f"{text}\n", headers={"X-Content-Type-Options": "nosniff"})
