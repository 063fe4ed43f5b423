"""Sensors and schedules. They decide when jobs start; they do no work, except the alerts."""
