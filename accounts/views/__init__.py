"""The pages of people and doors."""
