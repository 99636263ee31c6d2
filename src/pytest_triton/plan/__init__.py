"""The jobs that a repository needs to prove all of it. Pure: no server, no pytest."""
