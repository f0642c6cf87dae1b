"""What makes an ONNX model, what reads one, and what runs one."""
