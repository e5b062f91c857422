"""What is right in cases/cpp. A use in a macro's body stands where the macro is used: there it is compiled."""

from codebuddy_testing.language_cases import Case, CaseFile, method_cases

NUMBER = "include/format.hpp | std::string ⟦render⟧(int value);"
NUMBERS = [
    NUMBER,
    "src/format.cpp | std::string ⟦render⟧(int value) {",
    "include/shop.hpp | using shop::⟦render⟧",
    "src/shapes.cpp | return ⟦render⟧(area())",
    "src/app.cpp | ⟦render⟧(largest->area())",
    "src/wide.cpp | + shop::⟦render⟧(1)",
    "src/wide.cpp | shop::⟦render⟧(tabbed)",
    "src/wide.cpp | ⟦QUOTED⟧(tabbed)",
    "src/crlf.cpp | shop::⟦render⟧(1)",
    "src/marked.cpp | shop::⟦render⟧(three())",
    "src/marked.cpp | shop::⟦render⟧(4)",
    "tests/test_app.cpp | app::⟦render⟧(4)",
]
TEXT = "include/format.hpp | std::string ⟦render⟧(const std::string &value, unsigned width);"
TEXTS = [
    TEXT,
    "src/format.cpp | std::string ⟦render⟧(const std::string &value",
    "include/shop.hpp | using shop::⟦render⟧",
    'src/app.cpp | ⟦render⟧("none", 6)',
    'src/wide.cpp | shop::⟦render⟧("漢", 2)',
]
AREA = "include/shapes.hpp | virtual int ⟦area⟧()"
AREAS = [AREA, "src/shapes.cpp | render(⟦area⟧())", "src/app.cpp | render(largest->⟦area⟧())"]
OVERRIDES = [
    "include/shapes.hpp | Circle(int radius) : radius_(radius) {}\n  int ⟦area⟧() const override;",
    "include/shapes.hpp | Square(int side) : side_(side) {}\n  int ⟦area⟧() const override;",
]
BODIES = ["src/shapes.cpp | Circle::⟦area⟧()", "src/shapes.cpp | Square::⟦area⟧()"]
IN_MACRO = "include/format.hpp | + shop::⟦render⟧(value)"
VIRTUAL = "a call of the virtual function may run them"
SHOUT = [
    "words/loud.hpp | std::string ⟦shout⟧",
    "words/loud.cpp | std::string ⟦shout⟧",
    "include/shop.hpp | using words::⟦shout⟧",
    "src/app.cpp | return ⟦shout⟧(",
]
MAX = ["generated/limits.hpp | unsigned ⟦max_shapes⟧", "include/store.hpp | items_.size() < ⟦max_shapes⟧"]
DECLARED = "its declaration, and the using-declaration that brings the name in, declare it as well"
OVERRIDDEN = [
    "include/shapes.hpp | virtual std::string ⟦describe⟧()",
    "src/shapes.cpp | std::string Shape::⟦describe⟧()",
    "src/shapes.cpp | return Shape::⟦describe⟧()",
]
DESCRIBE = ["include/shapes.hpp | std::string ⟦describe⟧() const override", "src/shapes.cpp | Square::⟦describe⟧()"]
TYPE = ["include/shapes.hpp | class ⟦Circle⟧", "include/shapes.hpp | class ⟦Square⟧"]

CASES = [
    Case(
        "find_definition",
        "re-exported overload",
        'src/app.cpp | ⟦render⟧("none", 6)',
        TEXTS[1:2],
        [TEXTS[0], TEXTS[2]],
        DECLARED,
    ),
    Case(
        "find_definition",
        "overridden method",
        "tests/test_app.cpp | square.⟦describe⟧()",
        DESCRIBE[1:],
        DESCRIBE[:1],
        DECLARED,
    ),
    Case("find_definition", "generic", "src/app.cpp | store.⟦largest⟧()", ["include/store.hpp | ⟦largest⟧() const"]),
    Case("find_definition", "macro", "src/wide.cpp | ⟦QUOTED⟧(tabbed)", ["include/format.hpp | #define ⟦QUOTED⟧"]),
    Case("find_definition", "generated file", MAX[1], MAX[:1]),
    Case("find_definition", "workspace package", SHOUT[3], SHOUT[1:2], [SHOUT[0], SHOUT[2]], DECLARED),
    *(
        Case("find_definition", name, ask, NUMBERS[1:2], NUMBERS[:1], DECLARED)
        for name, ask in {
            "after wide characters": "src/wide.cpp | + shop::⟦render⟧(1)",
            "after a tab": "src/wide.cpp | shop::⟦render⟧(tabbed)",
            "CRLF": "src/crlf.cpp | shop::⟦render⟧(1)",
            "byte order mark": "src/marked.cpp | shop::⟦render⟧(three())",
            "no final newline": "src/marked.cpp | shop::⟦render⟧(4)",
        }.items()
    ),
    # What is meant in a macro's body is known only where the macro is used.
    Case("find_references", "used everywhere", NUMBER, [*NUMBERS, IN_MACRO], told={"cpp": [IN_MACRO]}),
    Case("find_references", "overload", TEXT, [*TEXTS, IN_MACRO], told={"cpp": [IN_MACRO]}),
    Case(
        "find_references",
        "byte order mark",
        "src/marked.cpp | int ⟦three⟧()",
        ["src/marked.cpp | int ⟦three⟧()", "src/marked.cpp | render(⟦three⟧())"],
    ),
    Case(
        "find_references",
        "asked after wide characters",
        "src/wide.cpp | shop::⟦render⟧(tabbed)",
        [*NUMBERS, IN_MACRO],
        told={"cpp": [IN_MACRO]},
    ),
    Case(
        "find_references",
        "interface method",
        AREA,
        AREAS,
        [
            *OVERRIDES,
            *BODIES,
            "tests/test_app.cpp | square.⟦area⟧()",
            "include/store.hpp | item->⟦area⟧() > best->⟦area⟧()",
        ],
        VIRTUAL,
    ),
    Case(
        "find_references",
        "overriding method",
        DESCRIBE[0],
        [*DESCRIBE, "tests/test_app.cpp | square.⟦describe⟧()"],
        OVERRIDDEN,
        VIRTUAL,
    ),
    Case(
        "find_references",
        "generic class",
        "include/store.hpp | class ⟦Store⟧",
        ["include/store.hpp | class ⟦Store⟧", "include/shop.hpp | shop::⟦Store⟧<shop"],
    ),
    Case(
        "find_references",
        "generic method",
        "include/store.hpp | ⟦largest⟧() const",
        ["include/store.hpp | ⟦largest⟧() const", "src/app.cpp | store.⟦largest⟧()"],
    ),
    Case(
        "find_references",
        "macro",
        "include/format.hpp | #define ⟦QUOTED⟧",
        ["include/format.hpp | #define ⟦QUOTED⟧", "src/wide.cpp | ⟦QUOTED⟧(tabbed)"],
    ),
    Case("find_references", "generated file", MAX[0], MAX),
    Case("find_references", "workspace package", SHOUT[0], SHOUT),
    Case(
        "find_references",
        "used in tests",
        "src/app.cpp | std::string ⟦report⟧",
        [
            "include/shop.hpp | std::string ⟦report⟧",
            "src/app.cpp | std::string ⟦report⟧",
            "tests/test_app.cpp | app::⟦report⟧(",
        ],
    ),
    Case(
        "find_implementations",
        "interface method",
        AREA,
        BODIES,
        reason=DECLARED,
        alternative=OVERRIDES,
    ),
    Case("find_implementations", "interface", "include/shapes.hpp | class ⟦Shape⟧", TYPE),
    *method_cases(
        "src/shapes.cpp",
        ["Square", "describe"],
        [*DESCRIBE, "tests/test_app.cpp | square.⟦describe⟧()"],
        DESCRIBE[1:],
        allowed=OVERRIDDEN,
        reason=VIRTUAL,
    ),
    Case(
        "find_references",
        "shop::Store::largest in its file",
        "",
        ["include/store.hpp | ⟦largest⟧() const", "src/app.cpp | store.⟦largest⟧()"],
        arguments={"path": "include/store.hpp", "symbol": "shop::Store::largest"},
    ),
    Case("find_symbols", "class", expected=TYPE[1:], arguments={"query": "Square"}),
    Case("find_symbols", "workspace package", expected=SHOUT[1:2], arguments={"query": "shout"}),
    Case(
        "document_symbols",
        "classes",
        expected=[
            "shop/Shape",
            "shop/Shape/area",
            "shop/Circle",
            "shop/Circle/area",
            "shop/Square",
            "shop/Square/area",
            "shop/Square/describe",
        ],
        arguments={"path": "include/shapes.hpp"},
    ),
    Case(
        "document_symbols",
        "byte order mark",
        expected=["three", "marked", "last"],
        arguments={"path": "src/marked.cpp"},
    ),
    Case("hover", "function of another package", SHOUT[3], ["shout(const std::string &text)", "Says it loudly."]),
    Case("hover", "after wide characters", "src/wide.cpp | shop::⟦render⟧(tabbed)", ["render(int value)"]),
    Case(
        "completions",
        "members of a subclass",
        "src/typed.cpp | square.⟦⟧\n",
        ["area", "describe"],
        forbidden=["largest", "radius_"],
        file=CaseFile(
            "src/typed.cpp",
            '#include "shapes.hpp"\n\nvoid typed() {\n  shop::Square square(1);\n  square.\n}\n',
        ),
    ),
    Case("completions", "after wide characters", 'src/wide.cpp | "👋" + shop::ren⟦⟧der(tabbed)', ["render"]),
    Case(
        "signature_help",
        "overloads",
        'src/app.cpp | render(⟦⟧"none", 6)',
        ["const std::string &value, unsigned int width", "int value"],
    ),
    Case(
        "call_hierarchy",
        "who calls it",
        SHOUT[0],
        ["src/app.cpp | std::string ⟦report⟧"],
        ["include/shop.hpp | namespace ⟦app⟧ {"],
        "a using-declaration refers to it from its namespace",
        calls=["src/app.cpp | return ⟦shout⟧(", "include/shop.hpp | using words::⟦shout⟧"],
        arguments={"direction": "incoming"},
    ),
    Case(
        "call_hierarchy",
        "what it calls",
        "src/app.cpp | Shapes ⟦build⟧",
        [
            "include/store.hpp | void ⟦add⟧",
            "include/shapes.hpp | explicit ⟦Circle⟧(",
            "include/shapes.hpp | explicit ⟦Square⟧(",
        ],
        calls=[
            "src/app.cpp | store.⟦add⟧(std::make_unique<shop::Square>",
            "src/app.cpp | store.⟦add⟧(std::make_unique<shop::Circle>",
            "src/app.cpp | std::⟦make_unique⟧<shop::Square>",
            "src/app.cpp | std::⟦make_unique⟧<shop::Circle>",
        ],
        arguments={"direction": "outgoing"},
    ),
    Case(
        "type_hierarchy",
        "subtypes",
        "include/shapes.hpp | class ⟦Shape⟧",
        TYPE,
        arguments={"direction": "subtypes"},
    ),
    Case("diagnostics", "clean project"),
    Case(
        "diagnostics",
        "planted error",
        expected=["src/broken.cpp | = ⟦no_such_name⟧"],
        file=CaseFile("src/broken.cpp", 'const char *text = "👋漢e\u0301"; int count = no_such_name;\n'),
    ),
    Case("rename_symbol", "workspace package", SHOUT[0], SHOUT),
    Case(
        "rename_symbol",
        "awkward text",
        "src/marked.cpp | int ⟦three⟧()",
        ["src/marked.cpp | int ⟦three⟧()", "src/marked.cpp | render(⟦three⟧())"],
    ),
    Case(
        "format_file",
        "planted file",
        expected=["int ugly(int a) { return a + 1; }\n"],
        arguments={"path": "src/ugly.cpp"},
        file=CaseFile("src/ugly.cpp", "int  ugly( int a ){return a+1;}\n"),
    ),
    Case(
        "code_actions",
        "fix of an error",
        "src/lacking.cpp | std::⟦strng⟧",
        ["change 'strng' to 'string'"],
        file=CaseFile("src/lacking.cpp", '#include "loud.hpp"\n\nstd::strng loud() { return words::shout("a"); }\n'),
    ),
]
