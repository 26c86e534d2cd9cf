"""Which networks read images: one rule in the library, the same in the programs that ship."""

from pathlib import Path

import pytest

from torchcrate.model.contract import Contract, Sizes, tensor

with pytest.MonkeyPatch.context() as patch:  # siblings, as a crate has them
    patch.syspath_prepend(Path(__file__).resolve().parents[2] / "runners")
    import contract as contracts
    import pictures
    import runtime


@pytest.mark.parametrize(
    ("inputs", "sizes", "image"),
    [
        (["a:uint8[batch,1,28,28] as image"], {}, "a"),
        (["a:uint8[1,3,height,width] as image"], {}, "a"),
        (["a:uint8[batch,1,28,28] in 0..255 as image"], {}, "a"),
        (["a:uint8[batch,1,28,28] in 0..99 as image"], {}, None),
        (["a:uint8[batch,1,28,28] in -5..300 as image"], {}, "a"),
        (["a:uint8[batch,1,28,28] in 1.. as image"], {}, None),
        (["hint?:float32[batch,4]", "a:uint8[batch,1,28,28] as image"], {}, "a"),
        (["a:float32[batch,3,32,32] as image"], {}, None),
        (["a:uint8[3,32,32] as image"], {}, None),
        (["a:uint8[batch,4,32,32] as image"], {}, None),
        (["a:uint8[batch,channels,32,32] as image"], {}, None),
        (["a:uint8[2,3,32,32] as image"], {}, None),
        (["a:uint8[batch,3,32,32] as image"], {"batch": "2.."}, None),
        (["a:uint8[batch,3,32,32] as photograph"], {}, None),
        (["a:uint8[batch,1,8,8] as image", "b:uint8[batch,1,8,8] as image"], {}, None),
        (["a?:uint8[batch,1,8,8] as image"], {}, None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_library_and_programs_agree(
    inputs: list[str], sizes: dict[str, str], image: str | None
) -> None:
    limits = {axis: Sizes.parse(text) for axis, text in sizes.items()}
    written = Contract(tuple(map(tensor, inputs)), (tensor("out:float32[batch]"),), (), limits)

    assert (written.image.name if written.image else None) == image
    shipped = contracts.parse_contract(written.dump())
    if image:
        assert pictures._image_input(shipped).name == image
    else:
        with pytest.raises(runtime.RunError, match=r"does not (read|say)"):
            pictures._image_input(shipped)
