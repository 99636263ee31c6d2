"""What tests hold: servers, model control, GPU faults, assertions, a repository builder."""
