"""The separation itself: a loaded model runs over a mix in constant memory."""
