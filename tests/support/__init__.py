"""What several tests are made of: SAEs, models, runs with a known truth."""
