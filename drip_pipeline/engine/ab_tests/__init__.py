"""Ab tests."""
