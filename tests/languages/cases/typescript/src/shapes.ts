import { format } from "./format";

/** A thing with an area. */
export interface Shape {
  readonly name: string;
  area(): number;
}

export abstract class Base implements Shape {
  constructor(readonly name: string) {}

  abstract area(): number;

  describe(): string {
    return `${this.name}: ${format(this.area())}`;
  }
}

export class Circle extends Base {
  constructor(private readonly radius: number) {
    super("circle");
  }

  override area(): number {
    return Math.PI * this.radius ** 2;
  }
}

export class Square extends Base {
  constructor(private readonly side: number) {
    super("square");
  }

  override area(): number {
    return this.side ** 2;
  }

  override describe(): string {
    return `${super.describe()}, and straight`;
  }
}
