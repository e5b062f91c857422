"""What is right in cases/go."""

from codebuddy_testing.language_cases import Case, CaseFile, Limited, method_cases

RENDER = "format/format.go | func ⟦Render⟧["
RENDERS = [
    RENDER,
    "shop.go | format.⟦Render⟧[int]",
    "shapes/shapes.go | format.⟦Render⟧(square",
    "app/app.go | format.⟦Render⟧(built",
    "app/crlf.go | format.⟦Render⟧(1, 0)",
    "app/marked.go | format.⟦Render⟧(3, 0)",
    "app/marked.go | format.⟦Render⟧(4, 0)",
    'app/wide.go | format.⟦Render⟧(1, 0) + format.⟦Render⟧("漢", 2)',
    "app/wide.go | format.⟦Render⟧(tabbed, 0)",
]
ALIAS = "shop.go | var ⟦Rendered⟧ ="
AREAS = [
    "shapes/shapes.go | ⟦Area⟧() float64\n\tDescribe",
    "app/app.go | built.Largest().⟦Area⟧()",
    "app/app_test.go | shape.⟦Area⟧()",
    "store/store.go | item.⟦Area⟧() > best.⟦Area⟧()",
]
IMPLEMENTING = ["shapes/shapes.go | *Circle) ⟦Area⟧()", "shapes/shapes.go | *Square) ⟦Area⟧()"]
DISPATCH = "a method that implements an interface's is used wherever the interface's is, and the other way round"
SHOUT = ["words/loud.go | func ⟦Shout⟧", "app/app.go | words.⟦Shout⟧("]
MAX = ["generated/limits.go | const ⟦MaxShapes⟧", "store/store.go | generated.⟦MaxShapes⟧"]
DESCRIBE = "shapes/shapes.go | *Square) ⟦Describe⟧()"
SQUARES = "shapes/shapes.go | Render(square.⟦Area⟧(), 0)"
EXPORTED = {"new_name": "BrandNew"}
DOCUMENTED = "the comment that documents a thing begins with its name"

CASES = [
    Case("find_definition", "re-exported overload", "app/app.go | shop.⟦Rendered⟧(1, 2)", [ALIAS]),
    Case(
        "find_definition",
        "overridden method",
        "shapes/shapes.go | square.Base.⟦Describe⟧()",
        ["shapes/shapes.go | base Base) ⟦Describe⟧()"],
    ),
    Case("find_definition", "generic", "app/app.go | built.⟦Largest⟧()", ["store/store.go | ⟦Largest⟧() (best"]),
    Case("find_definition", "generated file", MAX[1], MAX[:1]),
    Case("find_definition", "workspace package", SHOUT[1], SHOUT[:1]),
    *(
        Case("find_definition", name, ask, [RENDER])
        for name, ask in {
            "after wide characters": 'app/wide.go | + format.⟦Render⟧("漢", 2)',
            "after a tab": "app/wide.go | format.⟦Render⟧(tabbed, 0)",
            "CRLF": "app/crlf.go | format.⟦Render⟧(1, 0)",
            "byte order mark": "app/marked.go | format.⟦Render⟧(3, 0)",
            "no final newline": "app/marked.go | format.⟦Render⟧(4, 0)",
        }.items()
    ),
    Case("find_references", "used everywhere", RENDER, RENDERS),
    Case("find_references", "asked at an alias", ALIAS, [ALIAS, "app/app.go | shop.⟦Rendered⟧(1, 2)"]),
    Case("find_references", "asked after wide characters", "app/wide.go | format.⟦Render⟧(tabbed, 0)", RENDERS),
    Case(
        "find_references",
        "interface method",
        AREAS[0],
        AREAS,
        [*IMPLEMENTING, SQUARES],
        DISPATCH,
    ),
    Case(
        "find_references",
        "overriding method",
        DESCRIBE,
        [DESCRIBE],
        [
            "shapes/shapes.go | ⟦Describe⟧() string\n}",
            "app/app_test.go | shape.⟦Describe⟧() != ",
            "app/app_test.go | t.Fatal(shape.⟦Describe⟧())",
        ],
        DISPATCH,
    ),
    Case(
        "find_references",
        "generic class",
        "store/store.go | type ⟦Store⟧[",
        [
            "store/store.go | type ⟦Store⟧[",
            "store/store.go | (store *⟦Store⟧[Item]) Add",
            "store/store.go | (store *⟦Store⟧[Item]) Largest",
            "app/app.go | Build(sides []float64) *store.⟦Store⟧[shop.Shape]",
            "app/app.go | &store.⟦Store⟧[shop.Shape]{}",
            "app/app.go | Report(built *store.⟦Store⟧[shop.Shape])",
        ],
    ),
    Case(
        "find_references",
        "generic method",
        "store/store.go | ⟦Largest⟧() (best",
        ["store/store.go | ⟦Largest⟧() (best", "app/app.go | built.⟦Largest⟧()"],
    ),
    Case("find_references", "generated file", MAX[0], MAX),
    Case("find_references", "workspace package", SHOUT[0], SHOUT),
    Case(
        "find_references",
        "used in tests",
        "app/app.go | func ⟦Report⟧",
        ["app/app.go | func ⟦Report⟧", "app/app_test.go | got := ⟦Report⟧(Build"],
    ),
    Case("find_implementations", "interface method", AREAS[0], IMPLEMENTING),
    Case(
        "find_implementations",
        "interface",
        "shapes/shapes.go | type ⟦Shape⟧ interface",
        ["shapes/shapes.go | type ⟦Circle⟧", "shapes/shapes.go | type ⟦Square⟧"],
    ),
    *method_cases(
        "store/store.go",
        ["Store", "Largest"],
        ["store/store.go | ⟦Largest⟧() (best", "app/app.go | built.⟦Largest⟧()"],
        ["store/store.go | ⟦Largest⟧() (best"],
    ),
    Case("find_symbols", "class", expected=["shapes/shapes.go | type ⟦Square⟧"], arguments={"query": "Square"}),
    Case("find_symbols", "workspace package", expected=SHOUT[:1], arguments={"query": "Shout"}),
    Case(
        "document_symbols",
        "classes",
        expected=["Shape", "Shape/Area", "Base", "Circle", "Square", "(*Square).Describe"],
        arguments={"path": "shapes/shapes.go"},
    ),
    Case("document_symbols", "byte order mark", expected=["Marked", "Last"], arguments={"path": "app/marked.go"}),
    Case(
        "hover",
        "function of another package",
        SHOUT[1],
        ["func words.Shout(text string) string", "Shout says it loudly."],
    ),
    Case("hover", "after wide characters", "app/wide.go | format.⟦Render⟧(tabbed, 0)", ["func format.Render"]),
    Case(
        "completions",
        "members of a subclass",
        "app/typed.go | square.⟦⟧\n",
        ["Area", "Describe", "Side", "Name"],
        forbidden=["Radius", "Largest"],
        file=CaseFile(
            "app/typed.go",
            'package app\n\nimport "example.com/shop/shapes"\n\n'
            "func typed() {\n\tsquare := &shapes.Square{}\n\tsquare.\n}\n",
        ),
    ),
    Case("completions", "after wide characters", 'app/wide.go | "👋" + format.Ren⟦⟧der(tabbed, 0)', ["Render"]),
    Case("signature_help", "overloads", "app/app.go | format.Render(⟦⟧built", ["value float64, width int"]),
    Case(
        "call_hierarchy",
        "who calls it",
        SHOUT[0],
        ["app/app.go | func ⟦Report⟧"],
        calls=SHOUT[1:],
        arguments={"direction": "incoming"},
    ),
    Case(
        "call_hierarchy",
        "what it calls",
        "app/app.go | func ⟦Build⟧",
        ["store/store.go | ⟦Add⟧(item"],
        calls=["app/app.go | built.⟦Add⟧(&shapes.Square", "app/app.go | built.⟦Add⟧(&shapes.Circle"],
        arguments={"direction": "outgoing"},
    ),
    Case(
        "type_hierarchy",
        "subtypes",
        "shapes/shapes.go | type ⟦Shape⟧ interface",
        ["shapes/shapes.go | type ⟦Circle⟧", "shapes/shapes.go | type ⟦Square⟧"],
        arguments={"direction": "subtypes"},
    ),
    Case("diagnostics", "clean project"),
    Case(
        "diagnostics",
        "planted error",
        expected=["app/broken.go | = ⟦noSuchName⟧"],
        file=CaseFile("app/broken.go", 'package app\n\nvar text = "👋漢e\u0301"; var count int = noSuchName\n'),
    ),
    Case(
        "rename_symbol",
        "workspace package",
        SHOUT[0],
        SHOUT,
        ["words/loud.go | // ⟦Shout⟧ says"],
        DOCUMENTED,
        arguments=EXPORTED,
    ),
    Case(
        "rename_symbol",
        "awkward text",
        RENDER,
        RENDERS,
        ["format/format.go | // ⟦Render⟧ writes"],
        DOCUMENTED,
        arguments=EXPORTED,
    ),
    Case(
        "rename_symbol",
        "interface method",
        AREAS[0],
        [*AREAS, *IMPLEMENTING, SQUARES],
        arguments=EXPORTED,
        limited={
            "go": Limited(
                "gopls renames an exported method of an interface without the methods that implement it",
                missing=[*IMPLEMENTING, SQUARES],
            )
        },
    ),
    Case(
        "format_file",
        "planted file",
        expected=["package words\n\nfunc ugly(a int) []int {\n\treturn []int{a, 1}\n}\n"],
        arguments={"path": "words/ugly.go"},
        file=CaseFile("words/ugly.go", "package words\nfunc ugly( a int ) []int {\nreturn []int{ a,1 }\n}\n"),
    ),
    Case(
        "code_actions",
        "fix of an error",
        "app/lacking.go | = ⟦strings⟧.",
        ["Organize Imports"],
        file=CaseFile("app/lacking.go", 'package app\n\nvar loud = strings.ToUpper("a")\n'),
    ),
]
