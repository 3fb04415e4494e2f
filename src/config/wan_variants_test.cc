// SPDX-License-Identifier: Apache-2.0
#include "config/wan_variants.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace wanslim {
namespace {

TEST(WanVariants, ConfigJsonIsThePublishedText) {
  // The published file of T2V-1.3B has 249 bytes.
  const std::string text = config_json_text(wan_variant("t2v-1.3B").geometry);
  EXPECT_EQ(text.size(), 249u);
  EXPECT_THAT(text, ::testing::HasSubstr("  \"eps\": 1e-06,\n"));
}

TEST(WanVariants, EachRowNamesItself) {
  for (const WanVariant& row : wan_variants()) {
    EXPECT_EQ(model_type(row.geometry), row.model_type);
    WanGeometry shallow = row.geometry;
    shallow.layers = 1;
    shallow.text_len = 77;
    const std::string name = variant_name(shallow);
    EXPECT_EQ(wan_variant(name).geometry, row.geometry);  // the two i2v rows share a geometry
  }
}

TEST(WanVariants, OffersTheNearestName) {
  try {
    wan_variant("t2v-14b");
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.text, ::testing::HasSubstr("did you mean \"t2v-14B\""));
  }
}

}  // namespace
}  // namespace wanslim
