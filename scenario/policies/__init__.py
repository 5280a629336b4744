"""Rules for messages beyond their steps. All functions are pure, and previews use the same ones."""
