# SPDX-License-Identifier: Apache-2.0
# Headers that most sources read, compiled once: a quarter of the time of a build.
add_library(headers OBJECT cmake/headers.cc)
target_link_libraries(headers PRIVATE fmt::fmt Threads::Threads)
target_precompile_headers(headers PRIVATE <algorithm> <filesystem> <functional> <map> <memory> <optional> <span> <string>
  <vector> <fmt/format.h> <fmt/ranges.h>)
if(WANSLIM_TESTS)
  add_library(test_headers OBJECT cmake/headers.cc)
  target_link_libraries(test_headers PRIVATE fmt::fmt GTest::gmock Threads::Threads)
  target_compile_definitions(test_headers PRIVATE WANSLIM_TESTDATA="${PROJECT_SOURCE_DIR}/tests/data")
  target_compile_options(test_headers PRIVATE $<$<CONFIG:RelWithDebInfo>:-O0>)
  target_precompile_headers(test_headers PRIVATE <gmock/gmock.h> <gtest/gtest.h> <filesystem> <fmt/format.h>
    <fmt/ranges.h>)
endif()

# layer(name dep ...): one static library per folder of src/; the *_test.cc beside the code make one test program, every
# *_fuzz.cc one libFuzzer target.
function(layer name)
  file(GLOB sources CONFIGURE_DEPENDS src/${name}/*.cc)
  file(GLOB tests CONFIGURE_DEPENDS src/${name}/*_test.cc)
  file(GLOB fuzzers CONFIGURE_DEPENDS src/${name}/*_fuzz.cc)
  list(REMOVE_ITEM sources ${tests} ${fuzzers} "")
  list(FILTER sources EXCLUDE REGEX "${WANSLIM_EXCLUDE}")
  list(TRANSFORM ARGN PREPEND ws_ OUTPUT_VARIABLE deps)
  add_library(ws_${name} STATIC ${sources})
  set_property(GLOBAL APPEND PROPERTY WANSLIM_LAYERS ws_${name})
  set_target_properties(ws_${name} PROPERTIES LINKER_LANGUAGE CXX)
  target_include_directories(ws_${name} PUBLIC src)
  target_link_libraries(ws_${name} PUBLIC ${deps})
  target_precompile_headers(ws_${name} REUSE_FROM headers)
  if(WANSLIM_TESTS AND tests)
    test_program(${name} "${tests}" ws_${name})
  endif()
  if(WANSLIM_FUZZ)
    foreach(fuzzer ${fuzzers})
      get_filename_component(stem ${fuzzer} NAME_WE)
      add_executable(${stem} ${fuzzer})
      target_link_libraries(${stem} PRIVATE ws_${name})
      target_link_options(${stem} PRIVATE -fsanitize=fuzzer)
    endforeach()
  endif()
endfunction()

# test_program(group sources library ...): target group_test; each source is a test group/stem of its own in ctest. The
# tests' own code is not optimised: it compiles in half the time.
function(test_program group sources)
  set(target ${group}_test)
  add_executable(${target} ${sources} tests/support/main.cc)
  target_link_libraries(${target} PRIVATE ${ARGN} GTest::gmock)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR} tests)
  target_compile_definitions(${target} PRIVATE WANSLIM_TESTDATA="${PROJECT_SOURCE_DIR}/tests/data")
  target_compile_options(${target} PRIVATE $<$<CONFIG:RelWithDebInfo>:-O0>)
  target_precompile_headers(${target} REUSE_FROM test_headers)
  foreach(source ${sources})
    get_filename_component(stem ${source} NAME_WE)
    add_test(NAME ${group}/${stem} COMMAND ${target} ${stem}.cc
      --gtest_output=xml:${CMAKE_CURRENT_BINARY_DIR}/reports/${group}_${stem}.xml)
  endforeach()
endfunction()

# use(name library ...): what comes from outside, wrapped in that layer alone.
function(use name)
  target_link_libraries(ws_${name} PUBLIC ${ARGN})
endfunction()
