"""`python -m afilsql` is the command `afilsql`."""

from afilsql.cli import main

if __name__ == "__main__":
    main()
