"""The way over from sp_OACreate: find the calls in T-SQL, say what is wrong with them, print what replaces them."""

from afilsql.legacy.scan import Found, Report, Verdict, scan
from afilsql.legacy.source import Source, read_database, read_paths

__all__ = ["Found", "Report", "Source", "Verdict", "read_database", "read_paths", "scan"]
