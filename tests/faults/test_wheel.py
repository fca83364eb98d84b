"""A built wheel, installed into an environment of its own, brings migrations and T-SQL along."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_wheel_runs_the_demo_and_prints_the_whole_script_outside_the_checkout(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "env", system_site_packages=False, with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    # Dependencies come from the environment that runs the tests; only afilsql itself is installed anew.
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}  # and no PYTHONPATH that leads to the checkout
    install = [python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True, env=environment)
    dependencies = next(p for p in sys.path if p.endswith("site-packages"))
    site = next((tmp_path / "env" / "lib").glob("python*")) / "site-packages"
    (site / "zz_dependencies.pth").write_text(dependencies + "\n")

    def afilsql(*arguments: str) -> str:
        command = [str(tmp_path / "env" / "bin" / "afilsql"), *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    where = subprocess.run(
        [python, "-c", "import afilsql; print(afilsql.__file__)"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert str(site) in where.stdout
    assert "as expected" in afilsql("demo", "--folder", str(tmp_path / "demo"))
    script = afilsql("migrate", "--sql")
    for name in (p.stem for p in (ROOT / "sql" / "procedures").glob("*.sql")):
        assert f"PROCEDURE afil.{name}" in script
