"""A classifier that costs what EfficientNet-Lite0 costs: its layers with random weights, no framework needed.

Tan and Le, "EfficientNet" (2019), table 1, without squeeze-and-excitation and with ReLU6, as Lite0 is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

SIDE, CLASSES = 224, 1000
STEM, HEAD = 32, 1280
# Of each stage: expansion, kernel, stride of its first block, channels, blocks.
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


class Graph:
    """Nodes and weights as they are added; ``last`` is the newest tensor's name."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []
        self.last = "image"
        self._rng = np.random.default_rng(0)

    def add(self, kind: str, *others: str, **attributes: Any) -> str:
        """An operator on the newest tensor; returns its result's name."""
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [self.last, *others], [name], **attributes))
        self.last = name
        return name

    def constant(self, values: NDArray[Any]) -> str:
        """A constant's name."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def random(self, *shape: int) -> str:
        """Weights that keep the size of what passes, so that no value dies out or overflows."""
        return self.constant(self._rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape))

    def convolve(self, taken: int, given: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        """Convolution with a bias, which batch norm is merged into."""
        weights, bias = self.random(given, taken // groups, kernel, kernel), self.constant(np.zeros(given))
        spread = {"strides": [stride] * 2, "pads": [kernel // 2] * 4, "group": groups}
        self.add("Conv", weights, bias, kernel_shape=[kernel] * 2, **spread)

    def relu6(self) -> None:
        """Cut to [0, 6]."""
        self.add("Clip", self.constant(np.array(0)), self.constant(np.array(6)))


def model(name: str) -> onnx.ModelProto:
    """The network under the input contract."""
    graph = Graph()
    graph.add("Cast", to=TensorProto.FLOAT)
    graph.add("Div", graph.constant(np.array(128)))
    graph.add("Transpose", perm=[0, 3, 1, 2])
    graph.convolve(3, STEM, 3, stride=2)
    graph.relu6()
    taken = STEM
    for expansion, kernel, stride, given, blocks in STAGES:
        for block in range(blocks):
            _block(graph, taken, given, expansion, kernel, stride if block == 0 else 1)
            taken = given
    graph.convolve(taken, HEAD, 1)
    graph.relu6()
    graph.add("GlobalAveragePool")
    graph.add("Flatten", axis=1)
    graph.add("MatMul", graph.random(HEAD, CLASSES))
    graph.add("Softmax", axis=1)
    graph.nodes[-1].output[0] = "probabilities"
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        graph.nodes,
        name,
        [value("image", TensorProto.UINT8, ["N", SIDE, SIDE, 3])],
        [value("probabilities", TensorProto.FLOAT, ["N", CLASSES])],
        graph.weights,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _block(graph: Graph, taken: int, given: int, expansion: int, kernel: int, stride: int) -> None:
    """An inverted residual: widen, look around channel by channel, narrow, add."""
    start, wide = graph.last, taken * expansion
    if expansion > 1:
        graph.convolve(taken, wide, 1)
        graph.relu6()
    graph.convolve(wide, wide, kernel, stride, groups=wide)
    graph.relu6()
    graph.convolve(wide, given, 1)
    if stride == 1 and taken == given:
        graph.add("Add", start)
