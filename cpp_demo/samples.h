#pragma once

#include "chunks.h"

namespace torchcrate {

/// Undoes filters, passes and packing.
/// @param png  checked pixel data; its rows are used up.
/// @return (H, W, channels) raw samples, one byte each, or two (high first) for 16 bits.
[[nodiscard]] Bytes samples_of(Checked& png);

}  // namespace torchcrate
