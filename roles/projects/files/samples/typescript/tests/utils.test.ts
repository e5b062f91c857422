import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { parseMeasurement, processData, report } from "../src/index.ts";

describe("processData", () => {
  it("counts, averages and finds the largest", () => {
    const largest = { name: "b", value: 5 };
    assert.deepEqual(processData([{ name: "a", value: 1 }, largest]), { count: 2, mean: 3, largest });
  });

  it("refuses an empty list", () => {
    assert.throws(() => processData([]), /no measurements/);
  });
});

describe("parseMeasurement", () => {
  it("reads negative and decimal numbers", () => {
    assert.deepEqual(parseMeasurement(" depth=-2.5 "), { name: "depth", value: -2.5 });
  });

  it("says what is wrong", () => {
    assert.throws(() => parseMeasurement("depth"), /name=value/);
  });
});

describe("report", () => {
  it("joins both", () => {
    assert.equal(report(["a=1", "b=2"]), "2 measurements, mean 1.50, largest b");
  });
});
