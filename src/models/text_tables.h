// SPDX-License-Identifier: Apache-2.0
// Unicode and HTML facts as text, written by tools/make_text_tables.py: items in hexadecimal, separated by
// spaces. text_unicode.cc and text_html.cc turn them into something to search.
#pragma once

namespace wanslim {

extern const char* const kDecompositions;    // "C0=41+300": composes again; "2126>3A9": does not
extern const char* const kCombiningClasses;  // "300-314:230", class in decimal
extern const char* const kWidths;            // "FF01=21"
extern const char* const kWords;             // "61-7A": ranges, ends included
extern const char* const kGraphemeExtend;
extern const char* const kGraphemeSpacingMark;
extern const char* const kGraphemePrepend;
extern const char* const kGraphemeControl;
extern const char* const kPictographic;
extern const char* const kEntities;          // "amp~26": also without semicolon; "Aopf=1D538": only with it
extern const char* const kEntityUpperCases;  // "DF=53+53"

}  // namespace wanslim
