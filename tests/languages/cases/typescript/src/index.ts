export { format as formatted } from "./format";
export * from "./shapes";
export { Store } from "./store";
