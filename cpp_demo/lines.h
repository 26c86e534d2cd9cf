#pragma once

#include <iosfwd>

#include "script_model.h"

namespace torchcrate {

/// Answers a call on each line of `in` with its answer on the same line of `out`.
///
/// A call is a JSON object with the inputs by name, as nested lists; a scalar is a number, and
/// what is null or not there is absent. Of axes that an empty list hides, those that the contract
/// fixes have their size, and free ones the least that is allowed. A line that is no such call is
/// answered with {"error": "line N: ..."}, and the reason goes to `errors`, too.
/// @return 0, or 1 if there was such a line.
/// @throws NobodyReads, RunnerError as `deliver` does.
[[nodiscard]] int answer_lines(const ScriptModel& model, std::istream& in, std::ostream& out,
                               std::ostream& errors);

}  // namespace torchcrate
