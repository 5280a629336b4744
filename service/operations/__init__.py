"""What operators do with journeys: one, or all that fit."""
