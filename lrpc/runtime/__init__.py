"""Running a bundle, with numpy, onnx and onnxruntime alone."""
