"""Where a trunk and its weights come from, and the part of it that stays frozen."""
