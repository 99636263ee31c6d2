"""One table of options; from marker, command line, ini file and environment to settings."""
