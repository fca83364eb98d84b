"""A live view of the queue on a terminal."""
