"""The modules of pywin32 that the Windows service uses, passed in so that tests can stand in for them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from afilsql.errors import ServiceError

_INSTALL = "pywin32 is not installed: run `pip install 'afilsql[windows]'`"


@dataclass(frozen=True, slots=True)
class Win32:
    """pywin32's modules of these names."""

    win32service: Any
    servicemanager: Any
    win32evtlogutil: Any


def load() -> Win32:
    """Return the modules. Raises ServiceError where they are not installed, or this is not Windows."""
    if sys.platform != "win32":
        raise ServiceError("this is not Windows: `afilsql service` runs the worker under systemd here")
    try:
        import servicemanager
        import win32evtlogutil
        import win32service
    except ImportError:
        raise ServiceError(_INSTALL) from None
    return Win32(win32service, servicemanager, win32evtlogutil)
