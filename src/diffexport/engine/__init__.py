"""The engine: takes cases, modes and runtimes, generates, shrinks, and emits events.

It prints nothing. Terminal, JSON and pytest consume its events.
"""
