"""What is done to the table itself: columns, gates, indexes and triggers, in the order of the phases."""
