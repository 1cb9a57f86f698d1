"""Connections to addresses that users gave: judged, bounded and interruptible."""
