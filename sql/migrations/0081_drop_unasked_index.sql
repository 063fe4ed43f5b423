-- No query asks for the recorded messages of an enrollment; writing the index was a fiftieth of a recorded drip's time.
DROP INDEX IF EXISTS recorded_messages_enrollment;
