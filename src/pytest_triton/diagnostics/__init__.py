"""What is wrong, as one value, from the reader of a config to the reports."""
