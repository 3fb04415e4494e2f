// SPDX-License-Identifier: Apache-2.0
// Empty: what the precompiled headers are attached to.
