"""The systemd unit of a worker: what may be chosen of it, and its text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from afilsql.delivery.pulse import FROZEN
from afilsql.errors import InvalidParameter
from afilsql.service.watchers import STOP_MARGIN

#: The first line of each unit written here; only such a unit is replaced or removed.
MARK = "# Written by `afilsql service install`; `afilsql service uninstall` removes it."

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_CREDENTIAL = re.compile(r"afilsql\.(database_url|([^\s:/\\%\"']+\.)?(password|client_secret))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A worker as a systemd service.

    Attributes:
        name: The service is NAME.service, its state in /var/lib/NAME.
        python: The Python that has afilsql.
        user: Whom it runs as; None is a user that exists only while it runs.
        config: Settings file.
        environment_file: File with settings as AFILSQL_NAME=value.
        credentials: Files with secrets, by the name of the systemd credential.
        grace_seconds: How long calls in flight may take to end once it is stopped.
        statement_seconds: What a statement of the database may take.

    Raises:
        InvalidParameter: A name or a path could not stand in a unit.
    """

    name: str = "afilsql"
    python: Path
    user: str | None = None
    config: Path | None = None
    environment_file: Path | None = None
    credentials: Mapping[str, Path] = field(default_factory=dict)
    grace_seconds: float = 30.0
    statement_seconds: float = 20.0

    def __post_init__(self) -> None:
        _match(_NAME, self.name, "the service's name", "letters, digits, '.', '_' and '-', as in afilsql-eu")
        if self.user is not None:
            _match(_USER, self.user, "the user", "a user's name, as in afilsql")
        for credential in self.credentials:
            _match(
                _CREDENTIAL,
                credential,
                "the credential",
                "afilsql.password, afilsql.database_url, afilsql.ACCOUNT.password or afilsql.ACCOUNT.client_secret",
            )
        for path in (self.python, self.config, self.environment_file, *self.credentials.values()):
            if path is not None and (not path.is_absolute() or re.search(r"[\x00-\x1f\x7f:;$\"'\\]", str(path))):
                raise InvalidParameter(
                    f"the path {str(path)!r} cannot stand in a unit: it must begin with / and hold no quote, colon, "
                    "semicolon, $, backslash or line end"
                )

    @property
    def file_name(self) -> str:
        """What systemd calls it."""
        return f"{self.name}.service"

    @property
    def state_directory(self) -> Path:
        """The only folder it may write to."""
        return Path("/var/lib", self.name)

    @property
    def watchdog_seconds(self) -> int:
        """Seconds without a sign of the loop after which it is taken for frozen.

        A statement that a firewall swallowed is given up after three times its time-out.
        """
        return round(max(FROZEN, 6 * self.statement_seconds))

    def text(self) -> str:
        """Return the unit file."""
        command = [_escaped(self.python), "-m", "afilsql"]
        if self.config is not None:
            command += ["--config", _escaped(self.config)]
        source = [f"EnvironmentFile={_escaped(self.environment_file, quoted=False)}"] if self.environment_file else []
        source += [f"LoadCredential={n}:{_escaped(p, quoted=False)}" for n, p in sorted(self.credentials.items())]
        who = [f"User={self.user}"] if self.user else ["DynamicUser=yes"]
        return _TEMPLATE.format(
            mark=MARK,
            name=self.name,
            command=" ".join((*command, "worker")),
            who="\n".join(who),
            source="".join(f"{line}\n" for line in source),
            watchdog=self.watchdog_seconds,
            stop=round(self.grace_seconds + STOP_MARGIN),
            start=round(FROZEN),
        )


def _match(pattern: re.Pattern[str], value: str, what: str, allowed: str) -> None:
    if not pattern.fullmatch(value):
        raise InvalidParameter(f"{what} {value!r} cannot be used: give {allowed}")


def _escaped(path: Path, *, quoted: bool = True) -> str:
    """Return a path as a unit needs it: % means something there, and in a command so do spaces."""
    text = str(path).replace("%", "%%")
    return f'"{text}"' if quoted and " " in text else text


_TEMPLATE = """\
{mark}
[Unit]
Description=Delivery of chat messages from a database (afilsql worker, {name})
Wants=network-online.target
After=network-online.target time-sync.target
# A database may be away for days: never give up.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID

# The worker's loop itself tells that it moves; while it waits for its first exchange it asks for more time.
WatchdogSec={watchdog}
TimeoutStartSec={start}
Restart=on-failure
RestartSec=10
# Wrong usage and wrong settings do not mend themselves.
RestartPreventExitStatus=2 3

# Calls in flight get AFILSQL_GRACE_SECONDS; the rest is for the last exchange with the database.
KillSignal=SIGTERM
KillMode=mixed
TimeoutStopSec={stop}

{who}
StateDirectory={name}
StateDirectoryMode=0700
WorkingDirectory=%S/{name}
UMask=0077
{source}
LimitCORE=0
CapabilityBoundingSet=
AmbientCapabilities=
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProcSubset=pid
PrivateTmp=yes
PrivateDevices=yes
PrivateUsers=yes
KeyringMode=private
RemoveIPC=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""
