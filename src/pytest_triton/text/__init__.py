"""Text for people and files: tables, wrapping, plurals, atomic files."""
