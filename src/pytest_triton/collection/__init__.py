"""Model repositories as pytest nodes."""
