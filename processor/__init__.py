"""The processor: downloads a song, decodes it, and separates it into stems on a GPU or the CPU."""

import os

# onnxruntime reads this variable at its import and sends telemetry without it. Child processes inherit it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
