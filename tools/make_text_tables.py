#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/models/text_tables.cc and src/models/text_entities.cc: Unicode and HTML facts as data.

Sources: Python's unicodedata and html.entities, and the `regex` module for grapheme properties. Run it with a newer
Python to move to a newer Unicode.
"""
import html
import html.entities
import pathlib
import unicodedata

import regex

MODELS = pathlib.Path(__file__).resolve().parent.parent / "src/models"


def ranges(wanted):
    out, start = [], None
    for code in range(0x110001):
        inside = code < 0x110000 and not 0xD800 <= code < 0xE000 and wanted(code)
        if inside and start is None:
            start = code
        if not inside and start is not None:
            out.append((start, code - 1))
            start = None
    return out


def ranges_text(wanted):
    return [f"{a:X}" if a == b else f"{a:X}-{b:X}" for a, b in ranges(wanted)]


def gcb(name):
    pattern = regex.compile(rf"\p{{{name}}}")
    return lambda code: pattern.match(chr(code)) is not None


def literal(name, items, comment):
    lines, line = [], ""
    for item in items:
        if len(line) + len(item) + 1 > 100:
            lines.append(line)
            line = ""
        line += item + " "
    lines.append(line.rstrip())
    body = "\n".join(f'    "{text}"' for text in lines)
    return f"// {comment}\nconst char* const {name} =\n{body};\n"


def decompositions():
    out = []
    for code in range(0x110000):
        text = unicodedata.decomposition(chr(code))
        if not text or text.startswith("<"):
            continue
        composes = unicodedata.normalize("NFC", chr(code)) == chr(code)
        out.append(f"{code:X}{'=' if composes else '>'}{'+'.join(f'{int(p, 16):X}' for p in text.split())}")
    return out


def combining_classes():
    out, previous = [], None
    for code in range(0x110000):
        value = unicodedata.combining(chr(code))
        if value == 0:
            previous = None
        elif previous == value:
            out[-1][1] = code
        else:
            out.append([code, code, value])
            previous = value
    return [(f"{a:X}" if a == b else f"{a:X}-{b:X}") + f":{value}" for a, b, value in out]


def widths():
    out = ["3000=20"]
    for code in range(0xFF01, 0xFFF0):
        wide = unicodedata.normalize("NFKC", chr(code))
        if wide != chr(code):
            out.append(f"{code:X}=" + "+".join(f"{ord(c):X}" for c in wide))
    return out


def entities():
    table = html.entities.html5
    return [
        f"{name[:-1]}{'~' if name[:-1] in table else '='}" + "+".join(f"{ord(c):X}" for c in value)
        for name, value in sorted(table.items()) if name.endswith(";")
    ]


def upper_cases():
    chars = {c for value in html.entities.html5.values() for c in value if c.upper() != c}
    return [f"{ord(c):X}=" + "+".join(f"{ord(u):X}" for u in c.upper()) for c in sorted(chars)]


HEAD = "// SPDX-License-Identifier: Apache-2.0\n// Written by tools/make_text_tables.py.\n#include \"models/text_tables.h\"\n\n"


def write(name, parts):
    text = HEAD + "// clang-format off\nnamespace wanslim {\n\n" + "\n".join(parts) + "\n}  // namespace wanslim\n"
    (MODELS / name).write_text(text)


version = f"Unicode {unicodedata.unidata_version}"
write("text_tables.cc", [
    literal("kDecompositions", decompositions(), f"Canonical decompositions, {version}; '=' composes again, '>' does not."),
    literal("kCombiningClasses", combining_classes(), "Canonical combining classes other than 0."),
    literal("kWidths", widths(), "Half and full width forms and what they stand for."),
    literal("kWords", ranges_text(lambda code: chr(code).isalnum()), "Letters and numbers (str.isalnum)."),
    literal("kGraphemeExtend", ranges_text(gcb("GCB=Extend")), "Grapheme_Cluster_Break = Extend."),
    literal("kGraphemeSpacingMark", ranges_text(gcb("GCB=SpacingMark")), "Grapheme_Cluster_Break = SpacingMark."),
    literal("kGraphemePrepend", ranges_text(gcb("GCB=Prepend")), "Grapheme_Cluster_Break = Prepend."),
    literal("kGraphemeControl", ranges_text(gcb("GCB=Control")), "Grapheme_Cluster_Break = Control."),
    literal("kPictographic", ranges_text(gcb("Extended_Pictographic")), "Extended_Pictographic."),
])
write("text_entities.cc", [
    literal("kEntities", entities(), "HTML5 named character references; '~' may stand without a semicolon."),
    literal("kEntityUpperCases", upper_cases(), "Characters of entities whose upper case differs."),
])
