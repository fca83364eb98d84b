"""The worker as a service: what it tells its manager, how it takes new settings, and how systemd and Windows run it."""
