"""What is found: events, stored regressions, standalone scripts, reports."""
