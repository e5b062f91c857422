import { MAX_SHAPES } from "../generated/limits";
import type { Shape } from "./shapes";

export class Store<Item extends Shape> {
  private readonly items: Item[] = [];

  add(item: Item): this {
    if (this.items.length < MAX_SHAPES) {
      this.items.push(item);
    }
    return this;
  }

  largest(): Item | undefined {
    return [...this.items].sort((one, other) => other.area() - one.area())[0];
  }
}
