"""`afilsql service` on Linux: the unit as systemd's own tools judge it, where it goes, and what is refused."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from afilsql.errors import ConfigError, InvalidParameter, ServiceError
from afilsql.service import preflight
from afilsql.service.systemd import Systemd, run
from afilsql.service.unit import MARK, Unit

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")

PYTHON = Path("/usr/bin/env")
SECRET = "Se-cret-9"


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    assert program, "systemd-analyze is not installed: run `apt-get install systemd`"
    return subprocess.run([program, *arguments], capture_output=True, text=True)


def setting(unit: str, name: str) -> list[str]:
    return [line.partition("=")[2] for line in unit.splitlines() if line.startswith(f"{name}=")]


FULL = Unit(
    name="afilsql-eu",
    python=PYTHON,
    user="root",
    config=Path("/etc/afil sql/50%/settings.toml"),
    environment_file=Path("/etc/afil sql/environment"),
    credentials={
        "afilsql.password": Path("/etc/afil sql/password"),
        "afilsql.shop.password": Path("/etc/shop"),
        "afilsql.database_url": Path("/etc/database"),
    },
    grace_seconds=45,
    statement_seconds=60,
)
UNITS = pytest.mark.parametrize("unit", [Unit(python=PYTHON), FULL], ids=["least", "full"])


@UNITS
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path, unit: Unit) -> None:
    file = tmp_path / unit.file_name
    file.write_text(unit.text(), encoding="utf-8")
    done = analyze("verify", "--man=no", str(file))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@UNITS
def test_systemd_calls_the_unit_well_confined(tmp_path: Path, unit: Unit) -> None:
    file = tmp_path / unit.file_name
    file.write_text(unit.text(), encoding="utf-8")
    # 0 is a service that may do nothing, 100 one that may do all; a unit without any confinement has 96.
    done = analyze("security", "--offline=true", "--threshold=20", "--no-pager", str(file))
    assert done.returncode == 0, done.stdout


def test_systemd_reads_the_command_as_it_was_meant(tmp_path: Path) -> None:
    program = tmp_path / "my 100% python"
    program.symlink_to(PYTHON)
    file = tmp_path / "a.service"
    file.write_text(Unit(name="a", python=program).text(), encoding="utf-8")
    assert analyze("verify", "--man=no", str(file)).returncode == 0
    program.unlink()
    done = analyze("verify", "--man=no", str(file))
    assert str(program) in done.stderr, "it looked for the program under its very name"


def test_the_unit_says_what_was_chosen() -> None:
    text = FULL.text()
    assert setting(text, "ExecStart") == ['/usr/bin/env -m afilsql --config "/etc/afil sql/50%%/settings.toml" worker']
    assert setting(text, "LoadCredential") == [
        "afilsql.database_url:/etc/database",
        "afilsql.password:/etc/afil sql/password",
        "afilsql.shop.password:/etc/shop",
    ]
    assert setting(text, "EnvironmentFile") == ["/etc/afil sql/environment"]
    assert (setting(text, "User"), setting(text, "DynamicUser")) == (["root"], [])
    assert setting(text, "StateDirectory") == ["afilsql-eu"]
    assert int(setting(text, "TimeoutStopSec")[0]) > 45
    assert int(setting(text, "WatchdogSec")[0]) > 3 * 60, "the driver gives a statement up after three times its time"
    assert setting(Unit(python=PYTHON).text(), "DynamicUser") == ["yes"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a b"},
        {"name": "../x"},
        {"name": ""},
        {"user": "x\nExecStartPre=/bin/sh"},
        {"python": Path("python3")},
        {"config": Path('/etc/a"b')},
        {"config": Path("/etc/a\nb")},
        {"python": Path("/opt/$HOME/python")},
        {"credentials": {"afilsql.pass word": Path("/x")}},
        {"credentials": {"other": Path("/x")}},
        {"credentials": {"afilsql.password": Path("/x:y")}},
    ],
    ids=str,
)
def test_what_could_not_stand_in_a_unit_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidParameter):
        Unit(**{"python": PYTHON} | wrong)  # type: ignore[arg-type]


# Whether it would start.


@pytest.fixture
def etc() -> object:
    """A folder that a service sees: not below /tmp, as pytest's are."""
    folder = Path(f"/var/lib/afilsql-test-{os.getpid()}")
    try:
        folder.mkdir(mode=0o755)
    except PermissionError:
        folder = Path(f"/dev/shm/afilsql-test-{os.getpid()}")
        folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder)


def put(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


SETTINGS = 'database_url = "mssql+pyodbc://db.example.com/chat"\nuser = "ana"\ngrace_seconds = 12\n'


def test_settings_with_the_password_as_a_credential_would_start(etc: Path) -> None:
    unit = Unit(
        python=PYTHON,
        config=put(etc / "a.toml", SETTINGS, 0o644),
        credentials={"afilsql.password": put(etc / "password", SECRET + "\n")},
    )
    settings = preflight.check(unit)
    assert (settings.grace_seconds, settings.user) == (12, "ana")


def test_the_database_url_may_be_a_credential_and_says_how_long_a_statement_takes(etc: Path) -> None:
    url = "mssql+pyodbc://worker:pw@db.example.com/chat?timeout=90"
    unit = Unit(
        python=PYTHON,
        environment_file=put(etc / "env", f"AFILSQL_USER=ana\n# a remark\n\nAFILSQL_PASSWORD='{SECRET}'\n"),
        credentials={"afilsql.database_url": put(etc / "url", url)},
    )
    settings = preflight.check(unit)
    assert settings.database_url == url
    assert preflight.statement_seconds(settings) == 90


BY_PROXY = """\
behind_proxy = true
proxy_from = ["10.0.0.7"]
proxy_user_header = "X-Remote-User"
proxy_roles = {"*" = "reader"}
"""


@pytest.mark.parametrize(
    ("settings", "mode", "why"),
    [
        ("concurrency = 0\n", 0o644, "concurrency"),
        ("", 0o644, "no account has credentials"),
        ('user = "ana"\n', 0o644, "has no password"),
        (f'user = "ana"\npassword = "{SECRET}"\n', 0o644, "chmod 600"),
        (f'user = "ana"\npassword = "{SECRET}"\n', 0o600, "may not read"),
        ('user = "ana"\npassword_file = "secret"\n', 0o644, "relative"),
        ('user = "ana"\npassword_file = "/home/ana/secret"\n', 0o644, "does not exist"),
        ('user = "ana"\nweb_port = 1\n', 0o644, "nobody could sign in"),
        (f'user = "ana"\nweb_port = 1\n[web]\nsecret_file = "secret"\n{BY_PROXY}', 0o644, "relative"),
        ('user = "ana"\ntransport = "json"\n', 0o644, "token_url|has no"),
        ('database_url = "sqlite:////srv/a.db"\nuser = "ana"\n', 0o644, "/var/lib/afilsql"),
    ],
)
def test_settings_that_would_not_start_are_refused_and_no_secret_is_shown(
    etc: Path, settings: str, mode: int, why: str
) -> None:
    unit = Unit(python=PYTHON, config=put(etc / "a.toml", settings, mode))
    if "sqlite" in settings:
        unit = Unit(python=PYTHON, config=unit.config, credentials={"afilsql.password": put(etc / "password", SECRET)})
    with pytest.raises(ConfigError, match=why) as refused:
        preflight.check(unit)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("mode", "text", "why"),
    [(0o644, SECRET, "others can read it"), (0o600, "", "empty"), (0o600, "a\nb", "more than one line")],
)
def test_a_credential_that_others_can_read_or_that_holds_none_is_refused(
    etc: Path, mode: int, text: str, why: str
) -> None:
    config = put(etc / "a.toml", SETTINGS, 0o644)
    unit = Unit(python=PYTHON, config=config, credentials={"afilsql.password": put(etc / "password", text, mode)})
    with pytest.raises(ConfigError, match=why):
        preflight.check(unit)


def test_a_credential_that_is_missing_or_of_no_account_is_refused(etc: Path) -> None:
    config = put(etc / "a.toml", SETTINGS, 0o644)
    with pytest.raises(ConfigError, match="does not exist"):
        preflight.check(Unit(python=PYTHON, config=config, credentials={"afilsql.password": etc / "nothing"}))
    given = {"afilsql.password": put(etc / "password", SECRET), "afilsql.shpo.password": etc / "password"}
    with pytest.raises(ConfigError, match="belongs to no account"):
        preflight.check(Unit(python=PYTHON, config=config, credentials=given))


@pytest.mark.parametrize("line", [f"AFILSQL_PASSWORD={SECRET}", """AFILSQL_WEB='{"secret": "0123"}'"""])
def test_an_environment_file_with_a_secret_that_others_can_read_is_refused(etc: Path, line: str) -> None:
    file = put(etc / "env", f"AFILSQL_USER=ana\n{line}\n", 0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        preflight.check(Unit(python=PYTHON, environment_file=file))
    put(file, "AFILSQL_USER='ana\n")
    with pytest.raises(ConfigError, match="line 1"):
        preflight.check(Unit(python=PYTHON, environment_file=file))


def test_a_program_that_the_service_would_not_see_is_refused(tmp_path: Path) -> None:
    hidden = tmp_path / "python"
    hidden.symlink_to(PYTHON)
    with pytest.raises(ConfigError, match="does not see"):
        preflight.check(Unit(python=hidden))
    with pytest.raises(ConfigError, match="not there"):
        preflight.check(Unit(python=Path("/opt/none/python")))


def test_a_named_user_reads_its_own_files_and_must_exist(etc: Path) -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    text = SETTINGS + f'password = "{SECRET}"\n'
    config = put(etc / "a.toml", text)
    assert preflight.check(Unit(python=PYTHON, user=me, config=config)).user == "ana"
    with pytest.raises(ConfigError, match="useradd"):
        preflight.check(Unit(python=PYTHON, user="nobody-here", config=config))
    with pytest.raises(ConfigError, match="may not read"):
        preflight.check(Unit(python=PYTHON, user="daemon", config=config))


def test_a_file_of_the_services_user_is_read_as_that_user(etc: Path) -> None:
    daemon = pwd.getpwnam("daemon")
    if os.geteuid() != 0:
        with preflight.acting_as("daemon"):
            assert os.geteuid() == os.getuid(), "only root can act as somebody else"
        return
    config = put(etc / "a.toml", SETTINGS + f'password = "{SECRET}"\n')
    os.chown(config, daemon.pw_uid, daemon.pw_gid)
    assert preflight.check(Unit(python=PYTHON, user="daemon", config=config)).user == "ana"
    assert (os.geteuid(), os.getegid()) == (0, 0)


# Putting it in place. `systemctl` is a program that notes how it was called.


class Fake:
    """A systemctl and a journalctl on a PATH of their own."""

    def __init__(self, folder: Path) -> None:
        self.calls = folder / "calls"
        self.calls.touch()
        self.path = folder / "bin"
        self.path.mkdir()
        for name in ("systemctl", "journalctl"):
            program = self.path / name
            program.write_text(f'#!/bin/sh\necho "$(basename $0) $*" >> {self.calls}\nexit ${{FAKE_EXIT:-0}}\n')
            program.chmod(0o755)
        self.code = 0

    def run(self, command: Sequence[str]) -> int:
        program = self.path / command[0]
        environ = {"PATH": os.defpath, "FAKE_EXIT": str(self.code)}
        return subprocess.run([program, *command[1:]], env=environ, check=False).returncode

    def said(self) -> list[str]:
        return self.calls.read_text().splitlines()


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


@pytest.fixture
def machine(tmp_path: Path, fake: Fake, etc: Path) -> Callable[..., Systemd]:
    """A machine that systemd runs, its files in a folder."""

    def machine(**how: bool) -> Systemd:
        return Systemd(etc, is_image=False, run=fake.run, **{"is_admin": True, "is_running": True} | how)

    return machine


def test_install_writes_the_unit_and_enables_it(machine, fake, etc) -> None:
    file = machine().install(FULL)
    assert file == etc / "etc/systemd/system/afilsql-eu.service"
    assert file.read_text() == FULL.text()
    assert file.stat().st_mode & 0o777 == 0o644
    assert fake.said() == ["systemctl --quiet daemon-reload", "systemctl --quiet enable afilsql-eu.service"]
    assert [f.name for f in file.parent.iterdir()] == [file.name]


def test_install_starts_it_only_when_asked(machine, fake) -> None:
    machine().install(FULL, now=True)
    assert fake.said()[-1] == "systemctl --quiet restart afilsql-eu.service"


def test_a_service_that_is_there_is_changed_only_when_asked(machine, fake) -> None:
    machine().install(FULL)
    with pytest.raises(InvalidParameter, match="--replace"):
        machine().install(FULL)
    other = Unit(name=FULL.name, python=PYTHON)
    assert machine().install(other, replace=True).read_text() == other.text()


def test_a_unit_of_somebody_else_is_left_alone(machine, fake, etc) -> None:
    file = etc / "etc/systemd/system/afilsql-eu.service"
    file.parent.mkdir(parents=True)
    file.write_text("[Service]\n")
    for act in (lambda: machine().install(FULL, replace=True), lambda: machine().uninstall(FULL.name)):
        with pytest.raises(InvalidParameter, match="left alone"):
            act()
    assert file.read_text() == "[Service]\n"
    assert fake.said() == []


def test_uninstall_stops_it_and_removes_the_unit(machine, fake) -> None:
    file = machine().install(FULL)
    fake.calls.write_text("")
    assert machine().uninstall(FULL.name) == file
    assert not file.exists()
    assert fake.said() == [
        "systemctl --quiet disable --now afilsql-eu.service",
        "systemctl --quiet daemon-reload",
        "systemctl reset-failed --quiet afilsql-eu.service",
    ]
    with pytest.raises(InvalidParameter, match="no service afilsql-eu"):
        machine().uninstall(FULL.name)


def test_without_root_or_without_systemd_nothing_is_written_and_the_reason_is_said(machine, fake, etc) -> None:
    for how, why in (({"is_admin": False}, "sudo"), ({"is_running": False}, "systemd does not run this machine")):
        for act in (lambda m: m.install(FULL), lambda m: m.uninstall(FULL.name)):
            with pytest.raises(ServiceError, match=why):
                act(machine(**how))
    assert (list(etc.iterdir()), fake.said()) == ([], [])


def test_a_systemctl_that_fails_or_is_missing_is_said(machine, fake) -> None:
    fake.code = 5
    with pytest.raises(ServiceError, match=r"daemon-reload` failed \(5\)"):
        machine().install(FULL)
    shutil.rmtree(fake.path)
    with pytest.raises(ServiceError, match="systemctl is not there"):
        machine().status("afilsql")


def test_status_and_logs_are_systemds_own(machine, fake) -> None:
    fake.code = 3
    assert machine().status("afilsql") == 3
    assert machine().logs("afilsql", lines=20, follow=True) == 3
    assert fake.said() == [
        "systemctl status --no-pager --full afilsql.service",
        "journalctl --no-pager --output=cat --lines=20 --follow --unit=afilsql.service",
    ]


def test_a_program_is_run_as_given_and_its_exit_code_returned() -> None:
    assert run(["sh", "-c", "exit 7"]) == 7


# The command line.


def afilsql(*arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("AFILSQL_")}
    return subprocess.run([sys.executable, "-m", "afilsql", *arguments], capture_output=True, text=True, env=environ)


def test_print_shows_the_unit_and_changes_nothing(etc: Path) -> None:
    config = put(etc / "a.toml", SETTINGS, 0o644)
    secret = put(etc / "password", SECRET)
    options = ("--python", str(PYTHON), "--config", str(config), "--credential", f"afilsql.password={secret}")
    done = afilsql("service", "install", *options, "--print", "--name", "afilsql-eu")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(MARK)
    assert setting(done.stdout, "TimeoutStopSec") == ["87"], "twelve seconds of grace, and some more"
    assert SECRET not in done.stdout
    assert sorted(f.name for f in etc.iterdir()) == ["a.toml", "password"]


def test_print_of_what_would_not_start_says_so_too(etc: Path) -> None:
    config = put(etc / "a.toml", SETTINGS, 0o644)
    done = afilsql("--config", str(config), "service", "install", "--python", str(PYTHON), "--print")
    assert done.returncode == 3
    assert done.stdout.startswith(MARK)
    assert "would not start" in done.stderr
    assert "has no password" in done.stderr


def test_an_image_gets_the_unit_enabled_by_systemd_itself(etc: Path) -> None:
    assert shutil.which("systemctl"), "systemctl is not installed: run `apt-get install systemd`"
    config = put(etc / "a.toml", SETTINGS, 0o644)
    secret = put(etc / "password", SECRET)
    image = etc / "image"
    image.mkdir()
    options = ("--python", str(PYTHON), "--config", str(config), "--credential", f"afilsql.password={secret}")
    done = afilsql("service", "install", *options, "--root", str(image))
    assert done.returncode == 0, done.stderr
    wanted = image / "etc/systemd/system/multi-user.target.wants/afilsql.service"
    assert wanted.is_symlink()
    assert afilsql("service", "install", *options, "--root", str(image)).returncode == 2
    assert afilsql("service", "install", *options, "--root", str(image), "--replace", "--now").returncode == 2
    assert afilsql("service", "uninstall", "--root", str(image)).returncode == 0
    assert not wanted.is_symlink()


def test_a_credential_without_a_file_or_given_twice_is_refused() -> None:
    for given in (["afilsql.password"], ["afilsql.password=/a", "afilsql.password=/b"]):
        done = afilsql("service", "install", *(word for one in given for word in ("--credential", one)))
        assert done.returncode == 2
        assert "credential" in done.stderr
