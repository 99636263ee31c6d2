"""What tests share: builders, samples, real servers and daemons, strategies."""
