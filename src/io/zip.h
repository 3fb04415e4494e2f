// SPDX-License-Identifier: Apache-2.0
// The directory of a zip archive whose members are stored, not compressed (torch.save, .npz); zip64 too.
//   members: local header | name | extra | bytes        central directory: one record a member
//   [zip64 end record, zip64 locator] end record, comment
// Compressed, encrypted and split archives are refused by name.
#pragma once
#include <map>
#include <string>

#include "io/file.h"

namespace wanslim {

struct ZipMember {
  uint64_t header = 0;  // of the local header, from the start of the file
  uint64_t bytes = 0;
};

// Reads and checks the central directory; Error names the file and the member.
std::map<std::string, ZipMember> read_zip_directory(const File& file);

// Where the bytes of a member begin; reads its local header. They are checked to lie inside the file.
uint64_t zip_member_offset(const File& file, const std::string& name, const ZipMember& member);

}  // namespace wanslim
