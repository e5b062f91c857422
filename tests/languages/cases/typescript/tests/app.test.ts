import { build, report } from "../src/app";
import { Square } from "../src/index";

const seen: string[] = [report(build([2, 3])), report(build([]))];
const square = new Square(2);
seen.push(square.describe(), String(square.area()));
if (seen.length !== 4) {
  throw new Error("unexpected");
}
