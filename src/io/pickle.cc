// SPDX-License-Identifier: Apache-2.0
#include "io/pickle.h"

#include <fmt/format.h>

#include <bit>
#include <optional>
#include <unordered_map>

#include "base/error.h"
#include "io/pickle_names.h"

namespace wanslim {
namespace {

using Kind = PickleValue::Kind;

class Machine {
 public:
  Machine(std::string_view bytes, std::string_view where) : bytes_(bytes), where_(where) {}

  Pickle run() {
    if (bytes_.size() > kMaxPickleBytes)
      fail(fmt::format("the pickle has {} bytes, at most {} are read", bytes_.size(), kMaxPickleBytes));
    if (number(1) != 0x80) fail("the pickle does not start with a protocol number");
    if (const uint64_t protocol = number(1); protocol < 2 || protocol > 5)
      fail(fmt::format("pickle protocol {}, expected 2 to 5", protocol));
    for (;;) {
      start_ = at_;
      const uint8_t code = static_cast<uint8_t>(number(1));
      if (code == '.') break;
      if (!scalar(code) && !container(code) && !memo(code) && !torch(code))
        fail(fmt::format("pickle opcode 0x{:02x}, which tensors and plain containers do not need", code));
    }
    if (at_ != bytes_.size()) fail(fmt::format("{} bytes follow the end of the pickle", bytes_.size() - at_));
    if (stack_.size() != 1 || !marks_.empty())
      fail(fmt::format("the pickle ends with {} values, expected one", stack_.size()));
    out_.root = stack_[0];
    return std::move(out_);
  }

 private:
  [[noreturn]] void fail(std::string what) const {
    throw Error({.what = std::move(what),
                 .where = fmt::format("{}: byte {}", where_, start_),
                 .hint = "only tensors in dicts, lists and tuples are read; save the state dict alone, or as "
                         ".safetensors"});
  }

  // Input.
  std::string_view take(uint64_t count) {
    if (count > bytes_.size() - at_)
      fail(fmt::format("the pickle is cut off: {} bytes wanted, {} left", count, bytes_.size() - at_));
    const std::string_view out = bytes_.substr(at_, count);
    at_ += count;
    return out;
  }
  uint64_t number(size_t bytes) {
    uint64_t out = 0;
    int shift = 0;
    for (char c : take(bytes)) {
      out |= static_cast<uint64_t>(static_cast<uint8_t>(c)) << shift;
      shift += 8;
    }
    return out;
  }
  std::string_view line() {
    const size_t end = bytes_.find('\n', at_);
    if (end == std::string_view::npos) fail("the pickle is cut off inside a name");
    const std::string_view out = take(end - at_);
    at_ += 1;
    return out;
  }

  // Stack. Items below the newest mark belong to an unfinished container and stay out of reach.
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  uint32_t top() const {
    if (stack_.size() <= floor()) fail("the pickle takes a value from an empty stack");
    return stack_.back();
  }
  uint32_t pop() {
    const uint32_t out = top();
    stack_.pop_back();
    return out;
  }
  std::vector<uint32_t> pop_to_mark() {
    if (marks_.empty()) fail("the pickle closes a container that it did not open");
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<uint32_t> out(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return out;
  }
  std::vector<uint32_t> pop_count(size_t count) {
    std::vector<uint32_t> out(count);
    while (count > 0) out[--count] = pop();
    return out;
  }
  void push(PickleValue value) {
    if (out_.values.size() >= kMaxPickleValues)
      fail(fmt::format("the pickle makes more than {} values", kMaxPickleValues));
    stack_.push_back(static_cast<uint32_t>(out_.values.size()));
    out_.values.push_back(std::move(value));
  }
  void push_int(int64_t value) { push({.kind = Kind::kInt, .integer = value}); }
  void push_text(Kind kind, uint64_t count) { push({.kind = kind, .text = take(count)}); }
  PickleValue& at(uint32_t index) { return out_.values[index]; }

  bool scalar(uint8_t code);
  bool container(uint8_t code);
  bool memo(uint8_t code);
  bool torch(uint8_t code);
  int64_t long_integer(uint64_t bytes);
  void extend(uint32_t target, const std::vector<uint32_t>& items, Kind kind);

  void name(std::string_view module, std::string_view name);
  void reduce();
  void build();
  void persistent();
  void rebuild_tensor(const std::vector<uint32_t>& args, bool has_dtype);
  std::vector<int64_t> integers(uint32_t index, std::string_view what);
  int64_t integer(uint32_t index, std::string_view what);

  std::string_view bytes_, where_;
  size_t at_ = 0, start_ = 0;
  std::vector<uint32_t> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint64_t, uint32_t> memo_;
  Pickle out_;
};

int64_t Machine::long_integer(uint64_t bytes) {
  if (bytes > 8) fail(fmt::format("an integer of {} bytes, at most 8 are read", bytes));
  const uint64_t raw = number(bytes);
  if (bytes == 0 || bytes == 8) return static_cast<int64_t>(raw);
  const int unused = static_cast<int>(64 - 8 * bytes);
  return static_cast<int64_t>(raw << unused) >> unused;
}

bool Machine::scalar(uint8_t code) {
  switch (code) {
    case 'N':
      push({});
      break;
    case 0x88:
      push({.kind = Kind::kBool, .integer = 1});
      break;
    case 0x89:
      push({.kind = Kind::kBool, .integer = 0});
      break;
    case 'J':
      push_int(static_cast<int32_t>(number(4)));
      break;
    case 'K':
      push_int(static_cast<int64_t>(number(1)));
      break;
    case 'M':
      push_int(static_cast<int64_t>(number(2)));
      break;
    case 0x8a:
      push_int(long_integer(number(1)));
      break;
    case 'G': {  // the only big-endian number
      uint64_t bits = 0;
      for (char c : take(8)) bits = bits << 8 | static_cast<uint8_t>(c);
      push({.kind = Kind::kFloat, .real = std::bit_cast<double>(bits)});
      break;
    }
    case 'X':
      push_text(Kind::kString, number(4));
      break;
    case 0x8c:
      push_text(Kind::kString, number(1));
      break;
    case 0x8d:
      push_text(Kind::kString, number(8));
      break;
    case 'B':
      push_text(Kind::kBytes, number(4));
      break;
    case 'C':
      push_text(Kind::kBytes, number(1));
      break;
    case 0x8e:
      push_text(Kind::kBytes, number(8));
      break;
    default:
      return false;
  }
  return true;
}

void Machine::extend(uint32_t target, const std::vector<uint32_t>& items, Kind kind) {
  PickleValue& value = at(target);
  if (value.kind != kind)
    fail(kind == Kind::kDict ? "items are put into what is no dict" : "items are put into what is no list");
  if (kind == Kind::kDict && items.size() % 2 != 0) fail("a dict gets a key without a value");
  value.items.insert(value.items.end(), items.begin(), items.end());
}

bool Machine::container(uint8_t code) {
  switch (code) {
    case '(':
      marks_.push_back(stack_.size());
      break;
    case '0':
      pop();
      break;
    case '1':
      pop_to_mark();
      break;
    case ')':
      push({.kind = Kind::kTuple});
      break;
    case 0x85:
    case 0x86:
    case 0x87:
      push({.kind = Kind::kTuple, .items = pop_count(code - 0x84)});
      break;
    case 't':
      push({.kind = Kind::kTuple, .items = pop_to_mark()});
      break;
    case ']':
      push({.kind = Kind::kList});
      break;
    case 'l':
      push({.kind = Kind::kList, .items = pop_to_mark()});
      break;
    case '}':
      push({.kind = Kind::kDict});
      break;
    case 'd': {
      const std::vector<uint32_t> items = pop_to_mark();
      push({.kind = Kind::kDict});
      extend(top(), items, Kind::kDict);
      break;
    }
    case 'a': {
      const std::vector<uint32_t> items = pop_count(1);
      extend(top(), items, Kind::kList);
      break;
    }
    case 'e': {
      const std::vector<uint32_t> items = pop_to_mark();
      extend(top(), items, Kind::kList);
      break;
    }
    case 's': {
      const std::vector<uint32_t> items = pop_count(2);
      extend(top(), items, Kind::kDict);
      break;
    }
    case 'u': {
      const std::vector<uint32_t> items = pop_to_mark();
      extend(top(), items, Kind::kDict);
      break;
    }
    default:
      return false;
  }
  return true;
}

bool Machine::memo(uint8_t code) {
  switch (code) {
    case 'q':
      memo_[number(1)] = top();
      return true;
    case 'r':
      memo_[number(4)] = top();
      return true;
    case 0x94: {
      const uint64_t index = memo_.size();
      memo_[index] = top();
      return true;
    }
    case 'h':
    case 'j': {
      const uint64_t index = number(code == 'h' ? 1 : 4);
      const auto found = memo_.find(index);
      if (found == memo_.end())
        fail(fmt::format("the pickle recalls value {}, which it never stored", index));
      stack_.push_back(found->second);
      return true;
    }
    case 0x95:
      if (const uint64_t length = number(8); length > bytes_.size() - at_)
        fail(fmt::format("a frame of {} bytes, {} are left", length, bytes_.size() - at_));
      return true;
    default:
      return false;
  }
}

bool Machine::torch(uint8_t code) {
  switch (code) {
    case 'c': {
      const std::string_view module = line();
      name(module, line());
      return true;
    }
    case 0x93: {
      const std::vector<uint32_t> parts = pop_count(2);
      if (at(parts[0]).kind != Kind::kString || at(parts[1]).kind != Kind::kString)
        fail("a name is built from what is no text");
      name(at(parts[0]).text, at(parts[1]).text);
      return true;
    }
    case 'R':
      reduce();
      return true;
    case 'b':
      build();
      return true;
    case 'Q':
      persistent();
      return true;
    default:
      return false;
  }
}

void Machine::name(std::string_view module, std::string_view name) {
  const std::optional<size_t> row = find_pickle_name(module, name);
  if (!row) {
    throw Error({.what = fmt::format("the pickle asks for the Python object {}.{}", module.substr(0, 200),
                                     name.substr(0, 200)),
                 .where = fmt::format("{}: byte {}", where_, start_),
                 .hint = "such a file can run code when Python loads it, so it is refused; if you trust it, "
                         "save its state dict alone, or as .safetensors"});
  }
  push({.kind = Kind::kCallable, .integer = static_cast<int64_t>(*row)});
}

int64_t Machine::integer(uint32_t index, std::string_view what) {
  const PickleValue& value = at(index);
  if (value.kind != Kind::kInt || value.integer < 0)
    fail(fmt::format("the {} of a tensor is no non-negative integer", what));
  return value.integer;
}

std::vector<int64_t> Machine::integers(uint32_t index, std::string_view what) {
  if (at(index).kind != Kind::kTuple || at(index).items.size() > 16)
    fail(fmt::format("the {} of a tensor is no tuple of at most 16 integers", what));
  std::vector<int64_t> out;
  for (uint32_t item : at(index).items) out.push_back(integer(item, what));
  return out;
}

void Machine::reduce() {
  const std::vector<uint32_t> parts = pop_count(2);
  if (at(parts[0]).kind != Kind::kCallable || at(parts[1]).kind != Kind::kTuple)
    fail("the pickle calls what is no function");
  const PickleName& callee = pickle_name(static_cast<size_t>(at(parts[0]).integer));
  const std::vector<uint32_t> args = at(parts[1]).items;
  switch (callee.role) {
    case PickleName::Role::kOrderedDict:
      if (!args.empty()) fail("OrderedDict is made with arguments, expected none");
      push({.kind = Kind::kDict, .ordered_dict = true});
      return;
    case PickleName::Role::kSize:
      if (args.size() != 1) fail(fmt::format("torch.Size with {} arguments, expected 1", args.size()));
      integers(args[0], "torch.Size");
      stack_.push_back(args[0]);
      return;
    case PickleName::Role::kParameter:
      if (args.size() != 3 || at(args[0]).kind != Kind::kTensor)
        fail("_rebuild_parameter without a tensor and two flags");
      stack_.push_back(args[0]);
      return;
    case PickleName::Role::kTensorV2:
      return rebuild_tensor(args, false);
    case PickleName::Role::kTensorV3:
      return rebuild_tensor(args, true);
    default:
      fail(fmt::format("{}.{} is no function that builds tensors", callee.module, callee.name));
  }
}

// v2: storage, offset, size, stride, requires_grad, hooks, optional metadata; v3 has the dtype before it.
void Machine::rebuild_tensor(const std::vector<uint32_t>& args, bool has_dtype) {
  const size_t least = has_dtype ? 7 : 6;
  if (args.size() != least && args.size() != least + 1)
    fail(fmt::format("a tensor is built from {} arguments, expected {}", args.size(), least));
  if (at(args[0]).kind != Kind::kStorage) fail("a tensor is built on what is no storage");
  const Pickle::Storage& storage = out_.storages[static_cast<size_t>(at(args[0]).integer)];
  DType dtype = storage.dtype;
  if (has_dtype) {
    const PickleValue& given = at(args[6]);
    const PickleName* named =
        given.kind == Kind::kCallable ? &pickle_name(static_cast<size_t>(given.integer)) : nullptr;
    if (!named || named->role != PickleName::Role::kDType) fail("a tensor is built with what is no dtype");
    if (!storage.untyped && named->dtype != dtype) fail("a tensor and its storage have different dtypes");
    dtype = named->dtype;
  }
  if (out_.tensors.size() >= kMaxPickleTensors)
    fail(fmt::format("the pickle makes more than {} tensors", kMaxPickleTensors));
  PickledTensor tensor{.storage = static_cast<size_t>(at(args[0]).integer),
                       .dtype = dtype,
                       .offset = integer(args[1], "offset"),
                       .shape = integers(args[2], "shape"),
                       .strides = integers(args[3], "stride")};
  if (tensor.shape.size() != tensor.strides.size())
    fail(fmt::format("a tensor has {} extents and {} strides", tensor.shape.size(), tensor.strides.size()));
  push({.kind = Kind::kTensor, .integer = static_cast<int64_t>(out_.tensors.size())});
  out_.tensors.push_back(std::move(tensor));
}

// State put on an OrderedDict is attributes such as _metadata, which loading a checkpoint does not need.
void Machine::build() {
  const std::vector<uint32_t> parts = pop_count(2);
  if (at(parts[0]).kind != Kind::kDict || !at(parts[0]).ordered_dict || at(parts[1]).kind != Kind::kDict)
    fail("the pickle sets attributes on what is no OrderedDict");
  stack_.push_back(parts[0]);
}

// ("storage", type, key, device, elements)
void Machine::persistent() {
  const uint32_t id = pop();
  if (at(id).kind != Kind::kTuple || at(id).items.size() != 5)
    fail("a persistent id is no tuple of 5 values");
  const std::vector<uint32_t> parts = at(id).items;
  if (at(parts[0]).kind != Kind::kString || at(parts[0]).text != "storage")
    fail("a persistent id is no storage");
  if (at(parts[1]).kind != Kind::kCallable) fail("a storage has no type");
  const PickleName& type = pickle_name(static_cast<size_t>(at(parts[1]).integer));
  if (type.role != PickleName::Role::kStorage && type.role != PickleName::Role::kUntypedStorage)
    fail(fmt::format("{}.{} is no type of storage", type.module, type.name));
  if (at(parts[2]).kind != Kind::kString || at(parts[2]).text.empty() || at(parts[2]).text.size() > 255)
    fail("the key of a storage is no text of 1 to 255 bytes");
  if (at(parts[3]).kind != Kind::kString) fail("the device of a storage is no text");
  Pickle::Storage storage{.key = std::string(at(parts[2]).text),
                          .dtype = type.dtype,
                          .untyped = type.role == PickleName::Role::kUntypedStorage};
  const int64_t elements = integer(parts[4], "storage size");
  if (__builtin_mul_overflow(static_cast<uint64_t>(elements), size_of(storage.dtype), &storage.bytes))
    fail(fmt::format("a storage of {} elements", elements));
  if (out_.storages.size() >= kMaxPickleTensors)
    fail(fmt::format("the pickle names more than {} storages", kMaxPickleTensors));
  push({.kind = Kind::kStorage, .integer = static_cast<int64_t>(out_.storages.size())});
  out_.storages.push_back(std::move(storage));
}

}  // namespace

Pickle read_pickle(std::string_view bytes, std::string_view where) {
  return Machine(bytes, where).run();
}

}  // namespace wanslim
