// SPDX-License-Identifier: Apache-2.0
// Checks that the verifiers of several formats share: modes of files, a tensor's dtype and shape, finite
// scales, and the checksums of the manifest.
#pragma once
#include <map>

#include "base/progress.h"
#include "formats/format.h"
#include "io/checkpoint.h"

namespace wanslim {

// MindIE-SD's file rule: a regular file, no symlink, owned by this user, its group or root, no mode bit
// beyond 0640.
void check_secure_file(const Path& path, uint64_t limit, VerifyReport& report);

// Adds a problem if the tensor is absent or differs; null then.
const StoredTensor* expect_tensor(const Checkpoint& file, const std::string& name, DType dtype,
                                  const Shape& shape, VerifyReport& report);

// Adds a problem if an F32 scale tensor has an element that is not finite or not above zero.
void check_scales(const Checkpoint& file, const StoredTensor& tensor, VerifyReport& report);

// As check_scales, and each must be a bf16 value: the runtime rounds them to that when it loads them, which
// would change the gain of the channel.
void check_bf16_scales(const Checkpoint& file, const StoredTensor& tensor, VerifyReport& report);

// Holds every tensor and small file against the manifest; without a manifest a line says so.
void check_manifest(const Path& folder, VerifyReport& report, Progress& progress);

}  // namespace wanslim
