"""The processor: downloads a song, decodes it, and separates it into stems on a GPU or the CPU."""

import os

# onnxruntime sends telemetry unless it finds this variable when it is imported. Child processes inherit it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
