"""The default network: a small convolutional net that tells ten digits apart.

Imports torch and nothing else: the file ships beside the eager runner.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Net(nn.Module):
    """Two convolutions and two linear layers, 21,840 parameters.

    The network of the PyTorch basic MNIST example; its parameter names are kept,
    so a state_dict trained elsewhere with that network loads.

    Args:
        dropout2d: Share of conv2's channels dropped in training, in [0, 1).
        dropout: Share of fc1's outputs dropped in training, in [0, 1).
    """

    def __init__(self, dropout2d: float = 0.0, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, kernel_size=5)
        self.conv2 = nn.Conv2d(10, 20, kernel_size=5)
        self.conv2_drop = nn.Dropout2d(dropout2d)
        self.fc1 = nn.Linear(320, 50)
        self.fc1_drop = nn.Dropout(dropout)
        self.fc2 = nn.Linear(50, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Tell digits apart.

        Args:
            x: Normalised ink, shape (N, 1, 28, 28), float32.

        Returns:
            Log-probabilities, shape (N, 10), float32.
        """
        x = functional.relu(functional.max_pool2d(self.conv1(x), 2))
        x = functional.relu(functional.max_pool2d(self.conv2_drop(self.conv2(x)), 2))
        x = torch.flatten(x, 1)
        x = self.fc1_drop(functional.relu(self.fc1(x)))
        return functional.log_softmax(self.fc2(x), dim=1)
