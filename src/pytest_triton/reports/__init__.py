"""Results, shown: values in, text out."""
