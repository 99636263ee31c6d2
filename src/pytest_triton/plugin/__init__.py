"""pytest's hooks, fixtures, markers and collection: the only package that imports pytest."""
