"""Reports: they consume events and produce text or files; they check nothing themselves."""
