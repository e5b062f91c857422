"""What is right in cases/typescript. A re-exported alias is the same function: TypeScript resolves it to one symbol."""

from codebuddy_testing.language_cases import Case, CaseFile, method_cases

SAME_FUNCTION = "the overloads, their implementation and the alias are one function"
OVERLOADS = [
    "src/format.ts | export function ⟦format⟧(value: number):",
    "src/format.ts | export function ⟦format⟧(value: string, width: number)",
    "src/format.ts | export function ⟦format⟧(value: number | string",
]
ALIAS = "src/index.ts | format as ⟦formatted⟧ }"
BY_NAME = [
    "src/index.ts | export { ⟦format⟧ as",
    "src/shapes.ts | import { ⟦format⟧ }",
    "src/shapes.ts | ${⟦format⟧(this.area())}",
]
BY_ALIAS = [
    "src/app.ts | import { Circle, ⟦formatted⟧, Square",
    'src/app.ts | largest ? ⟦formatted⟧(largest.area()) : ⟦formatted⟧("none", 6)',
    'src/bom.ts | import { ⟦formatted⟧ } from "./index"; export const marked = ⟦formatted⟧(3)',
    "src/bom.ts | last = ⟦formatted⟧(4)",
    "src/crlf.ts | import { ⟦formatted⟧ }",
    "src/crlf.ts | first = ⟦formatted⟧(1)",
    'src/crlf.ts | second = ⟦formatted⟧("two", 4)',
    "src/wide.ts | import { ⟦formatted⟧ }",
    'src/wide.ts | "e\u0301", ⟦formatted⟧(1)].join("") + ⟦formatted⟧("漢", 2)',
    'src/wide.ts | "👋" + ⟦formatted⟧(tabbed)',
]
AREAS = [
    "src/shapes.ts | name: string;\n  ⟦area⟧(): number;",
    "src/shapes.ts | abstract ⟦area⟧()",
    "src/shapes.ts | format(this.⟦area⟧())",
    "src/shapes.ts | override ⟦area⟧(): number {\n    return Math",
    "src/shapes.ts | override ⟦area⟧(): number {\n    return this",
    "src/app.ts | formatted(largest.⟦area⟧())",
    "src/store.ts | other.⟦area⟧() - one.⟦area⟧()",
    "tests/app.test.ts | square.⟦area⟧()",
]
MEMBERS = "an interface's member and those that implement it are found together, with the uses of each"
BROKEN = CaseFile("src/broken.ts", 'const text = "👋漢e\u0301"; export const count: number = text;\n')
UGLY = CaseFile("src/ugly.ts", "export function ugly( a:number ) {\nreturn [ a,1 ]\n}\n")

CASES = [
    Case(
        "find_definition",
        "re-exported overload",
        'src/app.ts | formatted(largest.area()) : ⟦formatted⟧("none", 6)',
        OVERLOADS[1:2],
        [OVERLOADS[0], OVERLOADS[2]],
        SAME_FUNCTION,
    ),
    Case(
        "find_definition",
        "overridden method",
        "tests/app.test.ts | square.⟦describe⟧()",
        ["src/shapes.ts | override ⟦describe⟧(): string"],
    ),
    Case("find_definition", "generic", "src/app.ts | store.⟦largest⟧()", ["src/store.ts | ⟦largest⟧(): Item"]),
    Case(
        "find_definition",
        "generated file",
        "src/store.ts | this.items.length < ⟦MAX_SHAPES⟧",
        ["generated/limits.ts | export const ⟦MAX_SHAPES⟧"],
    ),
    Case(
        "find_definition",
        "workspace package",
        "src/app.ts | return ⟦shout⟧(largest",
        ["packages/text/src/shout.ts | export function ⟦shout⟧"],
    ),
    *(
        Case("find_definition", name, ask, OVERLOADS[:1], OVERLOADS[1:], SAME_FUNCTION)
        for name, ask in {
            "after wide characters": 'src/wide.ts | "e\u0301", ⟦formatted⟧(1)',
            "after a tab": 'src/wide.ts | "👋" + ⟦formatted⟧(tabbed)',
            "CRLF": "src/crlf.ts | first = ⟦formatted⟧(1)",
            "byte order mark": "src/bom.ts | marked = ⟦formatted⟧(3)",
            "no final newline": "src/bom.ts | last = ⟦formatted⟧(4);",
        }.items()
    ),
    Case("find_references", "used everywhere", OVERLOADS[0], [*OVERLOADS, *BY_NAME, *BY_ALIAS], [ALIAS], SAME_FUNCTION),
    Case("find_references", "asked at an alias", ALIAS, [ALIAS, *BY_ALIAS], [*OVERLOADS, *BY_NAME], SAME_FUNCTION),
    Case(
        "find_references",
        "asked after wide characters",
        'src/wide.ts | "👋" + ⟦formatted⟧(tabbed)',
        BY_ALIAS,
        [*OVERLOADS, *BY_NAME, ALIAS],
        SAME_FUNCTION,
    ),
    Case("find_references", "interface method", AREAS[0], AREAS),
    Case(
        "find_references",
        "overriding method",
        "src/shapes.ts | override ⟦describe⟧(): string",
        ["src/shapes.ts | override ⟦describe⟧(): string", "tests/app.test.ts | square.⟦describe⟧()"],
        ["src/shapes.ts | ⟦describe⟧(): string {\n    return `${this", "src/shapes.ts | super.⟦describe⟧()"],
        MEMBERS,
    ),
    Case(
        "find_references",
        "generic class",
        "src/store.ts | export class ⟦Store⟧",
        [
            "src/store.ts | export class ⟦Store⟧",
            "src/index.ts | export { ⟦Store⟧ }",
            "src/app.ts | Square, ⟦Store⟧ }",
            "src/app.ts | sides: number[]): ⟦Store⟧<Shape>",
            "src/app.ts | new ⟦Store⟧<Shape>",
            "src/app.ts | report(store: ⟦Store⟧<Shape>)",
        ],
    ),
    Case(
        "find_references",
        "generic method",
        "src/store.ts | ⟦largest⟧(): Item",
        ["src/store.ts | ⟦largest⟧(): Item", "src/app.ts | store.⟦largest⟧()"],
    ),
    Case(
        "find_references",
        "generated file",
        "generated/limits.ts | export const ⟦MAX_SHAPES⟧",
        [
            "generated/limits.ts | export const ⟦MAX_SHAPES⟧",
            "src/store.ts | import { ⟦MAX_SHAPES⟧ }",
            "src/store.ts | this.items.length < ⟦MAX_SHAPES⟧",
        ],
    ),
    Case(
        "find_references",
        "workspace package",
        "packages/text/src/shout.ts | export function ⟦shout⟧",
        [
            "packages/text/src/shout.ts | export function ⟦shout⟧",
            "packages/text/src/index.ts | export { ⟦shout⟧ }",
            "src/app.ts | import { ⟦shout⟧ }",
            "src/app.ts | return ⟦shout⟧(largest",
        ],
    ),
    Case(
        "find_references",
        "used in tests",
        "src/app.ts | export function ⟦report⟧",
        [
            "src/app.ts | export function ⟦report⟧",
            "tests/app.test.ts | import { build, ⟦report⟧ }",
            "tests/app.test.ts | string[] = [⟦report⟧(build([2, 3])), ⟦report⟧(build([]))]",
        ],
    ),
    Case(
        "find_implementations",
        "interface method",
        AREAS[0],
        AREAS[3:5],
        AREAS[:2],
        "the abstract member implements the interface's, and servers may name the member itself",
    ),
    Case(
        "find_implementations",
        "interface",
        "src/shapes.ts | export interface ⟦Shape⟧",
        ["src/shapes.ts | abstract class ⟦Base⟧"],
        [
            "src/shapes.ts | class ⟦Circle⟧",
            "src/shapes.ts | class ⟦Square⟧",
            "src/shapes.ts | export interface ⟦Shape⟧",
        ],
        "subclasses implement it through their base, and servers may name the interface itself",
    ),
    *method_cases(
        "src/store.ts",
        ["Store", "largest"],
        ["src/store.ts | ⟦largest⟧(): Item", "src/app.ts | store.⟦largest⟧()"],
        ["src/store.ts | ⟦largest⟧(): Item"],
    ),
    Case("find_symbols", "class", expected=["src/shapes.ts | class ⟦Square⟧"], arguments={"query": "Square"}),
    Case(
        "find_symbols",
        "workspace package",
        expected=["packages/text/src/shout.ts | export function ⟦shout⟧"],
        arguments={"query": "shout"},
    ),
    Case(
        "document_symbols",
        "classes",
        expected=[
            "Shape",
            "Shape/name",
            "Shape/area",
            "Base",
            "Base/area",
            "Base/describe",
            "Circle",
            "Circle/area",
            "Square",
            "Square/area",
            "Square/describe",
        ],
        arguments={"path": "src/shapes.ts"},
    ),
    Case("document_symbols", "byte order mark", expected=["marked", "last"], arguments={"path": "src/bom.ts"}),
    Case(
        "hover",
        "function of another package",
        "src/app.ts | return ⟦shout⟧(largest",
        ["shout(text: string): string", "Says it loudly."],
    ),
    Case(
        "hover",
        "after wide characters",
        'src/wide.ts | "👋" + ⟦formatted⟧(tabbed)',
        ["format", "(value: number): string"],
    ),
    Case(
        "completions",
        "members of a subclass",
        "src/typed.ts | square.⟦⟧\n",
        ["area", "describe", "name"],
        forbidden=["largest", "side"],
        file=CaseFile("src/typed.ts", 'import { Square } from "./index";\n\nconst square = new Square(1);\nsquare.\n'),
    ),
    Case(
        "completions",
        "after wide characters",
        'src/wide.ts | "👋" + for⟦⟧matted(tabbed)',
        ["formatted"],
    ),
    Case("signature_help", "overloads", 'src/app.ts | : formatted(⟦⟧"none", 6)', ["value: string, width: number"]),
    Case(
        "call_hierarchy",
        "who calls it",
        "packages/text/src/shout.ts | export function ⟦shout⟧",
        ["src/app.ts | export function ⟦report⟧"],
        calls=["src/app.ts | return ⟦shout⟧(largest"],
        arguments={"direction": "incoming"},
    ),
    Case(
        "call_hierarchy",
        "what it calls",
        "src/app.ts | export function ⟦build⟧",
        [
            "src/store.ts | export class ⟦Store⟧",
            "src/store.ts | ⟦add⟧(item: Item)",
            "src/shapes.ts | class ⟦Square⟧",
            "src/shapes.ts | class ⟦Circle⟧",
        ],
        calls=[
            "src/app.ts | new ⟦Store⟧<Shape>",
            "src/app.ts | ⟦store.add⟧(new ⟦Square⟧(side))",
            "src/app.ts | ⟦store.add⟧(new ⟦Circle⟧(1))",
        ],
        arguments={"direction": "outgoing"},
    ),
    Case(
        "type_hierarchy",
        "subtypes",
        "src/shapes.ts | abstract class ⟦Base⟧",
        ["src/shapes.ts | class ⟦Circle⟧", "src/shapes.ts | class ⟦Square⟧"],
        arguments={"direction": "subtypes"},
    ),
    Case("diagnostics", "clean project"),
    Case("diagnostics", "planted error", expected=["src/broken.ts | const ⟦count⟧: number"], file=BROKEN),
    Case(
        "rename_symbol",
        "workspace package",
        "packages/text/src/shout.ts | export function ⟦shout⟧",
        [
            "packages/text/src/shout.ts | export function ⟦shout⟧",
            "packages/text/src/index.ts | export { ⟦shout⟧ }",
            "src/app.ts | import { ⟦shout⟧ }",
            "src/app.ts | return ⟦shout⟧(largest",
        ],
    ),
    Case("rename_symbol", "awkward text", ALIAS, [ALIAS, *BY_ALIAS]),
    Case("rename_symbol", "interface method", AREAS[0], AREAS),
    Case(
        "format_file",
        "planted file",
        expected=["export function ugly(a: number) {\n    return [a, 1]\n}\n"],
        arguments={"path": "src/ugly.ts"},
        file=UGLY,
    ),
    Case(
        "code_actions",
        "fix of an error",
        "src/lacking.ts | = ⟦shout⟧(",
        ['import from "@shop/text"'],
        file=CaseFile("src/lacking.ts", 'export const loud = shout("a");\n'),
    ),
]
