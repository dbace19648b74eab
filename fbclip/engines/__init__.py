"""What computes: torch, or exported graphs in ONNX Runtime or OpenVINO, behind one small interface."""
