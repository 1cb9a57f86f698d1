"""Connects to addresses that users gave: checks them, limits the time, and can be interrupted."""
