"""What is right in cases/rust."""

from codebuddy_testing.language_cases import Case, CaseFile, method_cases

RENDER = "src/format.rs | pub fn ⟦render⟧<T"
BY_NAME = [
    "src/lib.rs | format::⟦render⟧ as",
    "src/shapes.rs | use crate::format::⟦render⟧;",
    "src/shapes.rs | self.name(), ⟦render⟧(self.area(), 0)",
]
ALIAS = "src/lib.rs | render as ⟦rendered⟧"
BY_ALIAS = [
    "src/app.rs | use crate::⟦rendered⟧",
    'src/app.rs | map_or(⟦rendered⟧("none", 6), |largest| ⟦rendered⟧(largest.area(), 0))',
    "src/crlf.rs | use crate::⟦rendered⟧",
    "src/crlf.rs | String { ⟦rendered⟧(1, 0) }",
    "src/marked.rs | use crate::⟦rendered⟧; pub fn marked() -> String { ⟦rendered⟧(3, 0) }",
    "src/marked.rs | marked() + &⟦rendered⟧(4, 0)",
    "src/wide.rs | use crate::⟦rendered⟧",
    'src/wide.rs | "e\u0301".into(), ⟦rendered⟧(1, 0)].concat() + &⟦rendered⟧("漢", 2)',
    'src/wide.rs | format!("👋{}", ⟦rendered⟧(tabbed, 0))',
    "src/wide.rs | /* 漢 */ ⟦rendered⟧(1, 0)",
    "tests/app.rs | BUILT_SHAPES, ⟦rendered⟧,",
    "tests/app.rs | assert_eq!(⟦rendered⟧(square.area(), 0)",
]
AREAS = [
    "src/shapes.rs | fn ⟦area⟧(&self) -> f64;",
    "src/shapes.rs | render(self.⟦area⟧(), 0)",
    "src/shapes.rs | fn ⟦area⟧(&self) -> f64 {\n        self.scaled",
    "src/shapes.rs | fn ⟦area⟧(&self) -> f64 {\n        squared",
    "src/app.rs | rendered(largest.⟦area⟧(), 0)",
    "src/store.rs | one.⟦area⟧().total_cmp(&other.⟦area⟧())",
    "tests/app.rs | square.⟦area⟧()",
]
SHOUT = [
    "words/src/loud.rs | pub fn ⟦shout⟧",
    "words/src/lib.rs | loud::⟦shout⟧",
    "src/app.rs | use words::⟦shout⟧",
    'src/app.rs | println!("{}", ⟦shout⟧(&parts[0]))',
    "src/app.rs | ⟦shout⟧(&parts.concat())",
]
MAX = [
    "generated/limits.rs | pub const ⟦MAX_SHAPES⟧",
    "src/store.rs | limits::⟦MAX_SHAPES⟧",
    "src/store.rs | self.items.len() < ⟦MAX_SHAPES⟧",
]
DESCRIBE = 'src/shapes.rs | fn ⟦describe⟧(&self) -> String {\n        format!("{}, and'

CASES = [
    Case(
        "find_definition",
        "re-exported overload",
        'src/app.rs | map_or(⟦rendered⟧("none", 6)',
        [RENDER],
    ),
    Case("find_definition", "overridden method", "tests/app.rs | square.⟦describe⟧()", [DESCRIBE]),
    Case("find_definition", "generic", "src/app.rs | store.⟦largest⟧()", ["src/store.rs | pub fn ⟦largest⟧"]),
    Case(
        "find_definition",
        "macro",
        "src/shapes.rs | self.⟦scaled⟧(1.0)",
        ["src/shapes.rs | pub fn ⟦scaled⟧"],
        ["src/shapes.rs | ⟦shape!(Circle, radius, |radius: f64| 3.0 * radius * radius);⟧"],
        "the macro's call makes it",
    ),
    Case("find_definition", "inside a macro call", "tests/app.rs | ⟦report⟧(&build", ["src/app.rs | pub fn ⟦report⟧"]),
    Case("find_definition", "generated file", "src/store.rs | self.items.len() < ⟦MAX_SHAPES⟧", MAX[:1]),
    Case("find_definition", "workspace package", "src/app.rs | ⟦shout⟧(&parts.concat())", SHOUT[:1]),
    *(
        Case("find_definition", name, ask, [RENDER])
        for name, ask in {
            "after wide characters": 'src/wide.rs | "e\u0301".into(), ⟦rendered⟧(1, 0)',
            "after a tab": 'src/wide.rs | format!("👋{}", ⟦rendered⟧(tabbed, 0))',
            "CRLF": "src/crlf.rs | String { ⟦rendered⟧(1, 0) }",
            "byte order mark": "src/marked.rs | pub fn marked() -> String { ⟦rendered⟧(3, 0) }",
            "no final newline": "src/marked.rs | marked() + &⟦rendered⟧(4, 0)",
        }.items()
    ),
    Case(
        "find_references",
        "used everywhere",
        RENDER,
        [RENDER, *BY_NAME, *BY_ALIAS],
        [ALIAS],
        "the alias is another name of the same function",
    ),
    Case(
        "find_references",
        "asked at an alias",
        ALIAS,
        [RENDER, *BY_NAME, *BY_ALIAS],
        [ALIAS],
        "the alias is another name of the same function",
    ),
    Case(
        "find_references",
        "asked after wide characters",
        "src/wide.rs | + &⟦after⟧",
        ["src/wide.rs | + &⟦after⟧", "src/wide.rs | let ⟦after⟧ ="],
    ),
    Case("find_references", "interface method", AREAS[0], AREAS),
    Case("find_references", "overriding method", DESCRIBE, [DESCRIBE, "tests/app.rs | square.⟦describe⟧()"]),
    Case(
        "find_references",
        "generic class",
        "src/store.rs | pub struct ⟦Store⟧",
        [
            "src/store.rs | pub struct ⟦Store⟧",
            "src/store.rs | Default for ⟦Store⟧<Item>",
            "src/store.rs | impl<Item: Shape> ⟦Store⟧<Item>",
            "src/app.rs | store::⟦Store⟧,",
            "src/app.rs | sides: &[f64]) -> ⟦Store⟧<Square>",
            "src/app.rs | ⟦Store⟧::default()",
            "src/app.rs | store: &⟦Store⟧<Square>",
        ],
        ["src/store.rs | -> ⟦Self⟧", "src/store.rs | ⟦Self⟧ { items"],
        "Self is the type by another name",
    ),
    Case(
        "find_references",
        "generic method",
        "src/store.rs | pub fn ⟦largest⟧",
        ["src/store.rs | pub fn ⟦largest⟧", "src/app.rs | store.⟦largest⟧()"],
    ),
    Case(
        "find_references",
        "macro",
        "src/shapes.rs | fn ⟦squared⟧(side",
        [
            "src/shapes.rs | fn ⟦squared⟧(side",
            "src/shapes.rs | shape!(Square, side, ⟦squared⟧)",
            "src/shapes.rs | ⟦squared⟧(self.side)",
        ],
    ),
    Case("find_references", "generated file", MAX[0], MAX),
    Case("find_references", "workspace package", SHOUT[0], SHOUT),
    Case(
        "find_references",
        "used in tests",
        "src/app.rs | pub fn ⟦report⟧",
        ["src/app.rs | pub fn ⟦report⟧", "tests/app.rs | build, ⟦report⟧", "tests/app.rs | ⟦report⟧(&build"],
    ),
    Case("find_implementations", "interface method", AREAS[0], AREAS[2:4]),
    Case(
        "find_implementations",
        "interface",
        "src/shapes.rs | pub trait ⟦Shape⟧",
        ["src/shapes.rs | impl Shape for ⟦Circle⟧", "src/shapes.rs | impl Shape for ⟦Square⟧"],
    ),
    *method_cases(
        "src/shapes.rs", ["Square", "describe"], [DESCRIBE, "tests/app.rs | square.⟦describe⟧()"], [DESCRIBE]
    ),
    Case("find_symbols", "class", expected=["src/shapes.rs | pub trait ⟦Shape⟧"], arguments={"query": "Shape"}),
    Case("find_symbols", "workspace package", expected=SHOUT[:1], arguments={"query": "shout"}),
    Case(
        "document_symbols",
        "classes",
        expected=[
            "Shape",
            "Shape/area",
            "Shape/describe",
            "squared",
            "impl Shape for Circle/area",
            "impl Shape for Square/describe",
        ],
        arguments={"path": "src/shapes.rs"},
    ),
    Case("document_symbols", "byte order mark", expected=["marked", "last"], arguments={"path": "src/marked.rs"}),
    Case(
        "hover",
        "function of another package",
        "src/app.rs | ⟦shout⟧(&parts.concat())",
        ["fn shout(text: &str)", "Says it loudly."],
    ),
    Case("hover", "after wide characters", 'src/wide.rs | format!("👋{}", ⟦rendered⟧(tabbed, 0))', ["fn render"]),
    Case(
        "completions",
        "members of a subclass",
        "src/wide.rs | square.⟦⟧\n",
        ["area", "describe", "name", "side", "scaled"],
        forbidden=["largest", "radius"],
        file=CaseFile(
            "src/wide.rs",
            "use crate::{Shape, Square};\n\n"
            "pub fn mixed() -> String {\n    let square = Square { side: 1.0 };\n    square.\n}\n",
        ),
    ),
    Case("completions", "after wide characters", 'src/wide.rs | format!("👋{}", ren⟦⟧dered(tabbed, 0))', ["rendered"]),
    Case("signature_help", "overloads", 'src/app.rs | map_or(rendered(⟦⟧"none", 6)', ["value: &str, width: usize"]),
    Case(
        "call_hierarchy",
        "who calls it",
        SHOUT[0],
        ["src/app.rs | pub fn ⟦report⟧"],
        calls=SHOUT[3:],
        arguments={"direction": "incoming"},
    ),
    Case(
        "call_hierarchy",
        "what it calls",
        "src/app.rs | pub fn ⟦build⟧",
        ["src/store.rs | pub fn ⟦add⟧"],
        ["src/store.rs | fn ⟦default⟧()"],
        "a call through a trait is one of the trait's method, which is the standard library's",
        calls=["src/app.rs | store.⟦add⟧("],
        arguments={"direction": "outgoing"},
    ),
    Case(
        "type_hierarchy",
        "subtypes",
        "src/shapes.rs | pub trait ⟦Shape⟧",
        ["src/shapes.rs | impl Shape for ⟦Circle⟧", "src/shapes.rs | impl Shape for ⟦Square⟧"],
        arguments={"direction": "subtypes"},
    ),
    Case("diagnostics", "clean project"),
    Case(
        "diagnostics",
        "planted error",
        expected=["src/wide.rs | = ⟦no_such_name⟧"],
        file=CaseFile(
            "src/wide.rs",
            "use crate::rendered;\n\npub fn mixed() -> String {\n"
            '    let _text = "👋漢e\u0301"; let count: usize = no_such_name;\n    rendered(count, 0)\n}\n',
        ),
    ),
    Case("rename_symbol", "workspace package", SHOUT[0], SHOUT),
    Case("rename_symbol", "interface method", AREAS[0], AREAS),
    Case(
        "rename_symbol",
        "macro",
        "src/shapes.rs | fn ⟦squared⟧(side",
        [
            "src/shapes.rs | fn ⟦squared⟧(side",
            "src/shapes.rs | shape!(Square, side, ⟦squared⟧)",
            "src/shapes.rs | ⟦squared⟧(self.side)",
        ],
    ),
    Case(
        "format_file",
        "planted file",
        expected=["pub fn ugly(a: u8) -> [u8; 2] {\n    [a, 1]\n}\n"],
        arguments={"path": "words/src/loud.rs"},
        file=CaseFile("words/src/loud.rs", "pub fn ugly( a:u8 )->[u8;2] {\n[ a,1 ]\n}\n"),
    ),
    Case(
        "code_actions",
        "fix of an error",
        "src/wide.rs | mixed() -> ⟦Store⟧<u8>",
        ["Import `crate::store::Store`"],
        file=CaseFile("src/wide.rs", "pub fn mixed() -> Store<u8> {\n    todo!()\n}\n"),
    ),
]
