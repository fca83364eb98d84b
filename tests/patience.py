"""How long tests wait for what should happen: nothing is lost when it does, and a loaded machine gets its time."""

from __future__ import annotations

#: Seconds, where a limit only ends a test that fails anyway. A first exchange on a new connection costs Babelfish
#: seconds of computing, and a machine that does eight things at once makes minutes of them.
PATIENCE = 300.0
