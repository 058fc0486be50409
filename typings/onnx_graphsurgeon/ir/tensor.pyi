import onnx

class LazyValues:
    def __init__(self, tensor: onnx.TensorProto) -> None: ...
