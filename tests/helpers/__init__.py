"""What several tests build on: tiny data sets, made-up predictions, models and benches."""
