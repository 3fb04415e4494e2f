// SPDX-License-Identifier: Apache-2.0
// The float branch beside a quantized Linear, as msModelSlim's savers write what svd_res makes:
//   P.svd_lowrank_l1 BF16 [rank, in], P.svd_lowrank_l2 BF16 [out, rank], "FLOAT" in the description, before
//   the tensors of the codes, whose type says SVD: W8A8_DYNAMIC -> W8A8_SVD_DYNAMIC, W8A16 -> W8A16_SVD.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "formats/file_source.h"
#include "formats/format.h"

namespace wanslim {

std::string low_rank_type(const std::string& type);
// The type without its SVD; *low_rank says whether it had one.
std::string without_low_rank(std::string_view type, bool* low_rank);

// Both do nothing for a layer that has no branch.
void add_low_rank_tensors(const LayerPlan& layer, std::vector<OutTensor>& out);
void add_low_rank_values(const QuantizedLinear& q, std::vector<Encoded>& out);

// Both sides of the branch as a runtime wants them: adds problems.
void check_low_rank(const Checkpoint& file, const std::string& layer, int64_t out, int64_t in,
                    VerifyReport& report);
void load_low_rank(const WeightSource& source, const std::string& layer, QuantizedLinear& q);

}  // namespace wanslim
