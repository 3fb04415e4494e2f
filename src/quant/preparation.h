// SPDX-License-Identifier: Apache-2.0
// Steps of a recipe that change a Linear before its weight is rounded: what they do to a layer stands in its
// LayerPlan, so that formats can hold or refuse it, and is done by quantize_layer.
//
//   convrot    the weight's columns are rotated; the runtime rotates the inputs
//   rotate_vo  v and o of an attention are rotated against each other, unseen (head_rotation.h)
//   svd_res    a low-rank part of the weight is kept in float beside the codes of the rest
#pragma once
#include <string>
#include <vector>

#include "config/match.h"
#include "config/recipe.h"
#include "quant/linear_weight.h"
#include "tensor/layer_plan.h"
#include "tensor/quantized.h"

namespace wanslim {

bool is_preparation(const ProcessStep& step);

// Whether the numerics know the step; if not, *why says what is wrong.
bool supports_preparation(const ProcessStep& step, Numerics numerics, std::string* why);

// Enters step `index` into the plan of a layer that linear_quant has taken; of two steps of a type the first
// wins. Throws Error naming the layer if it does not fit the shape or stands behind the linear_quant entry.
void prepare_layer(const ProcessStep& step, size_t index, LayerPlan& layer);

// rotate_vo: the attentions whose o is selected, `head` channels a head. Both sides must be quantized, or
// none.
void rotate_attentions(LayerSelection& selection, int head, std::vector<LayerPlan>& layers);

// The Linear as its plan says: prepared, rounded by quantize_linear, and marked. Throws what that throws.
QuantizedLinear quantize_layer(const LayerPlan& layer, LinearWeight&& linear, const ProcessStep& step,
                               Numerics numerics);

}  // namespace wanslim
