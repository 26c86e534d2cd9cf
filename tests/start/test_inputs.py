"""What a network takes is read off the layer that an argument goes into, or not said at all."""

import pytest

from torchcrate.model.contract import tensor
from torchcrate.start.inputs import inputs
from torchcrate.start.networks import networks


def said(folder, made, forward, arguments="x", init=""):
    """Return the guesses for a network with this layer and this forward."""
    (folder / "net.py").write_text(f"""
from torch import nn
class Net(nn.Module):
    def __init__(self{init}):
        self.first = {made}
        self.other = nn.Linear(3, 3)
    def forward(self, {arguments}):
        {forward}
""")
    (network,) = networks(folder)
    return [one.text for one in inputs(network)]


@pytest.mark.parametrize(
    ("made", "text"),
    [
        ("nn.Linear(8, 2)", "x:float32[batch,8]"),
        ("nn.Linear(out_features=2, in_features=8)", "x:float32[batch,8]"),
        ("nn.Sequential(nn.Linear(8, 2), nn.ReLU())", "x:float32[batch,8]"),
        ("nn.Conv1d(4, 2, 3)", "x:float32[batch,4,time]"),
        ("nn.Conv2d(3, 2, 3)", "x:float32[batch,3,height,width]"),
        ("nn.Conv3d(1, 2, 3)", "x:float32[batch,1,depth,height,width]"),
        ("nn.Embedding(50, 2)", "x:int64[batch] in 0..49"),
        ("nn.LSTM(5, 2)", "x:float32[time,batch,5]"),
        ("nn.GRU(5, 2, batch_first=True)", "x:float32[batch,time,5]"),
        ("nn.GRU(5, 2, batch_first=False)", "x:float32[time,batch,5]"),
        ("nn.LazyLinear(5)", ""),
        ("nn.Linear(8 * 2, 2)", ""),
        ("nn.BatchNorm1d(5)", ""),
    ],
)
def test_a_layer_says_what_goes_into_it(tmp_path, made, text):
    (found,) = said(tmp_path, made, "return self.first(x)")

    assert found == text
    if found:
        assert tensor(found).name == "x"


def test_tokens_have_a_time_axis_where_a_sequence_is_read(tmp_path):
    layers = "nn.Embedding(50, 2); self.reader = nn.LSTM(2, 2)"

    assert said(tmp_path, layers, "return self.first(x)") == ["x:int64[batch,time] in 0..49"]


def test_a_size_may_be_the_default_of_an_argument(tmp_path):
    made = "nn.Linear(size, 2)"

    assert said(tmp_path, made, "return self.first(x)", init=", size=9") == ["x:float32[batch,9]"]
    assert said(tmp_path, made, "return self.first(x)", init=", size") == [""]


def test_each_argument_without_a_default_is_an_input(tmp_path):
    forward = "return self.first(x) + self.other(y)"

    found = said(tmp_path, "nn.Linear(8, 3)", forward, arguments="x, y, mask=None")

    assert found == ["x:float32[batch,8]", "y:float32[batch,3]"]


def test_what_is_changed_before_the_layer_is_not_guessed(tmp_path):
    assert said(tmp_path, "nn.Linear(8, 2)", "return self.first(x.flatten(1))") == [""]
