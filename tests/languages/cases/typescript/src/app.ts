import { shout } from "@shop/text";
import { Circle, formatted, Square, Store } from "./index";
import type { Shape } from "./index";

export function build(sides: number[]): Store<Shape> {
  const store = new Store<Shape>();
  for (const side of sides) {
    store.add(new Square(side));
  }
  return store.add(new Circle(1));
}

export function report(store: Store<Shape>): string {
  const largest = store.largest();
  return shout(largest ? formatted(largest.area()) : formatted("none", 6));
}
