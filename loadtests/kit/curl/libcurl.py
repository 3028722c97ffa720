"""The part of pycurl that is used here, with types: pycurl comes without any."""

from __future__ import annotations

from typing import Any, Protocol

import pycurl


class Easy(Protocol):
    """One handle of libcurl: the options of a request, and what is known of it afterwards."""

    def setopt(self, option: int, value: Any) -> None: ...
    def unsetopt(self, option: int) -> None: ...
    def getinfo(self, info: int) -> Any: ...
    def reset(self) -> None: ...
    def close(self) -> None: ...


class Multi(Protocol):
    """Many handles at once, driven by whoever watches their sockets."""

    def setopt(self, option: int, value: Any) -> None: ...
    def add_handle(self, easy: Easy) -> None: ...
    def remove_handle(self, easy: Easy) -> None: ...
    def socket_action(self, socket: int, events: int) -> tuple[int, int]: ...
    def info_read(self) -> tuple[int, list[Easy], list[tuple[Easy, int, str]]]: ...
    def close(self) -> None: ...


class Share(Protocol):
    """What several handles have in common: here a jar of cookies."""

    def setopt(self, option: int, value: Any) -> None: ...
    def close(self) -> None: ...


def new_easy() -> Easy:
    return pycurl.Curl()  # type: ignore[no-any-return]


def new_multi() -> Multi:
    return pycurl.CurlMulti()  # type: ignore[no-any-return]


def new_share() -> Share:
    return pycurl.CurlShare()  # type: ignore[no-any-return]
