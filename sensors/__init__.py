"""What starts by itself: sensors and schedules. They decide, they never do."""
