"""The peer without a database: threads that post the same bodies with `requests`, in a process of their own.

    python -m tests.benchmarks.bare URL [--threads 32] [--messages 1000000]

Each thread has a requests.Session, so its connection is kept; it posts the form that the worker posts, reads the answer
as JSON, and stops the process when that is no success. Nothing is read from a database, nothing is written.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import requests

from tests.benchmarks import processor
from tests.benchmarks.throughput import CONCURRENCY, Rate
from tests.faults.processes import sandbox


def post(url: str, numbers: Iterator[int]) -> None:
    """Post messages until the numbers are used up, which several threads take from one iterator."""
    with requests.Session() as session:
        for n in numbers:
            fields = {
                "class": "chat",
                "method": "sendmessage",
                "user": "demo",
                "password": "demo",
                "platform": "whatsapp",
                "platformid": "100",
                "destination": f"346{n}",
                "message": f"message {n}",
            }
            answer = session.post(url, data=fields, timeout=60)
            if answer.status_code != 200 or answer.json()["status"] != "SUCCESS":
                print(f"not accepted: {answer.text[:200]}", file=sys.stderr)
                os._exit(1)


def rate(*, settle: float, seconds: float, threads: int = CONCURRENCY, latency: float = 0.0) -> Rate:
    """Return what such a process reaches, counted at the simulated API, after some seconds to get going."""
    with sandbox(latency) as api:
        command = [sys.executable, "-m", "tests.benchmarks.bare", api.url, "--threads", str(threads)]
        process = subprocess.Popen(command)
        try:
            while not api.count():
                if process.poll() is not None:
                    raise RuntimeError("the bare process ended: see what it said")
                time.sleep(0.1)
            time.sleep(settle)
            before, began = api.count(), time.monotonic()
            spent, api_spent = processor.seconds(process.pid), processor.seconds(api.pid)
            time.sleep(seconds)
            after, passed = api.count(), time.monotonic() - began
            if process.poll() is not None:
                raise RuntimeError("the bare process ended: see what it said")
            spent, api_spent = processor.seconds(process.pid) - spent, processor.seconds(api.pid) - api_spent
            return Rate(after - before, passed, spent, api_spent)
        finally:
            process.kill()
            process.wait()


def main() -> None:
    """Post until all is posted, or until it is killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--threads", type=int, default=CONCURRENCY)
    parser.add_argument("--messages", type=int, default=1_000_000)
    asked = parser.parse_args()
    numbers = iter(range(asked.messages))  # `next` of it is one step of the interpreter: no thread gets one twice
    threads = [threading.Thread(target=post, args=(asked.url, numbers)) for _ in range(asked.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
