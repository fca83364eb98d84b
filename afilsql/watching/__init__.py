"""How a worker is watched from outside: health, metrics, traces."""
