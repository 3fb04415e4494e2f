# SPDX-License-Identifier: Apache-2.0
# What is made of the layers: the program, its installation, the tests that run it, the benchmarks.
include(GNUInstallDirs)
get_property(layers GLOBAL PROPERTY WANSLIM_LAYERS)

if(EXISTS ${PROJECT_SOURCE_DIR}/src/cli/main.cc)
  add_executable(wanslim src/cli/main.cc)
  target_link_libraries(wanslim PRIVATE ws_cli)

  # Installed under the name of the tool that it replaces too, so that existing commands run as they stand.
  install(TARGETS wanslim RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(CODE "file(CREATE_LINK wanslim \
    \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/msmodelslim\" SYMBOLIC)")
  install(FILES docs/man/wanslim.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES completions/wanslim.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME wanslim)
  install(FILES completions/wanslim.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME msmodelslim)
  install(FILES completions/_wanslim DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  install(FILES LICENSE README.md README.zh.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
  install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md")
endif()

# Makes file calls of the program fail or kill it, for the tests of resume.
if(WANSLIM_TESTS AND NOT CMAKE_CROSSCOMPILING)
  add_library(fault SHARED tests/support/fault.cc)
  target_link_libraries(fault PRIVATE ${CMAKE_DL_LIBS})
endif()

# tests/**/*_test.{sh,py}: scripts that run the program as a user does. They get WANSLIM (what to call), SOURCE and
# BUILD (folders) in the environment.
if(WANSLIM_TESTS AND TARGET wanslim)
  set(runner ${CMAKE_CURRENT_BINARY_DIR}/wanslim)
  if(CMAKE_CROSSCOMPILING)
    list(JOIN CMAKE_CROSSCOMPILING_EMULATOR " " emulator)
    set(runner ${CMAKE_CURRENT_BINARY_DIR}/run_wanslim)
    file(GENERATE OUTPUT ${runner} CONTENT "#!/bin/sh\nexec ${emulator} $<TARGET_FILE:wanslim> \"$@\"\n"
      FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
  endif()
  file(GLOB_RECURSE scripts CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR} tests/*_test.sh tests/*_test.py)
  foreach(script ${scripts})
    string(REGEX REPLACE "\\.(sh|py)$" "" name ${script})
    string(REGEX MATCH "(sh|py)$" kind ${script})
    string(REPLACE "sh" "bash" kind ${kind})
    string(REPLACE "py" "python3" kind ${kind})
    add_test(NAME ${name} COMMAND ${kind} ${PROJECT_SOURCE_DIR}/${script})
    # The long ones first, so that no core waits for them at the end.
    set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77 COST 1
      ENVIRONMENT "WANSLIM=${runner};SOURCE=${PROJECT_SOURCE_DIR};BUILD=${CMAKE_CURRENT_BINARY_DIR}")
  endforeach()
endif()

# bench/*.cc: one program each; Google Benchmark's main unless it has its own.
if(WANSLIM_BENCH)
  file(GLOB programs CONFIGURE_DEPENDS bench/*.cc)
  foreach(program ${programs})
    get_filename_component(stem ${program} NAME_WE)
    add_executable(${stem} ${program})
    target_include_directories(${stem} PRIVATE ${PROJECT_SOURCE_DIR})
    target_link_libraries(${stem} PRIVATE ${layers} benchmark::benchmark benchmark::benchmark_main)
  endforeach()
endif()

# tests/golden/*_test.cc: several layers held together against recorded files of the tool that is replaced.
if(WANSLIM_TESTS)
  file(GLOB programs CONFIGURE_DEPENDS tests/golden/*_test.cc)
  test_program(golden "${programs}" ws_io ws_quant)
endif()
