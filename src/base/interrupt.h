// SPDX-License-Identifier: Apache-2.0
// Ctrl-C and SIGTERM as a flag that long loops look at between two pieces of work.
#pragma once

namespace wanslim {

// Installs handlers for SIGINT and SIGTERM; a second signal ends the process at once.
void catch_interrupts();

bool interrupted();

// Throws Error of kind kInterrupted once a signal came.
void throw_if_interrupted();

}  // namespace wanslim
