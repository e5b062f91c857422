import { formatted } from "./index"; export const marked = formatted(3);
export const last = formatted(4);